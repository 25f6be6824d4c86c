"""Prompt learners against the model's own encoding of the written prompts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from srrs.prompts.learner import LinearProbe, PromptLearner, zero_shot_weights
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

import support
from srrs.errors import ModelError, SettingsError
from srrs.models.hub import load_model
from srrs.prompts.templates import Template

NAMES = ["cat", "Sea Horse", "grand piano", "xylophone (toy)", "St. John's dog"]
CLAUSES = ["long whiskers", None, "two legs and a tail", "red comb", None]
KINDS = {
    "clip": support.tiny_clip,
    "siglip": support.tiny_siglip,
    "dual bert": support.tiny_dual,
    "dual clip": lambda folder: support.tiny_dual(folder, text="clip"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {name: make(base / name) for name, make in KINDS.items()}


@pytest.fixture(scope="module")
def clip(folders):
    return load_model(str(folders["clip"]), device="cpu")


def encoded(folder: Path, texts: list[str]) -> Tensor:
    """The model's own features of texts, through its own tokenizer, padded as it was trained."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    siglip = model.config.model_type == "siglip"
    inputs = tokenizer(texts, padding="max_length" if siglip else True, return_tensors="pt")
    mask = {} if siglip else {"attention_mask": inputs["attention_mask"]}
    with torch.no_grad():
        features = model.get_text_features(input_ids=inputs["input_ids"], **mask).pooler_output
    return torch.nn.functional.normalize(features, dim=-1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("class_specific", [False, True])
@pytest.mark.parametrize("described", [False, True])
def test_with_initial_words_it_starts_as_the_model_itself(folders, kind, class_specific, described) -> None:
    model = load_model(str(folders[kind]), device="cpu")
    names, clauses = (NAMES[:3], CLAUSES[:3]) if kind == "siglip" else (NAMES, CLAUSES)  # room for 16 tokens alone
    learner = PromptLearner(model, names, class_specific=class_specific, descriptions=clauses if described else None)
    texts = [
        f"a photo of a {name}" + (f", which has {clause}." if described and clause else ".")
        for name, clause in zip(names, clauses, strict=True)
    ]
    with torch.no_grad():
        weights = learner.class_weights(model)
    torch.testing.assert_close(weights, encoded(folders[kind], texts), atol=2e-6, rtol=0)
    assert learner.notes == ()


@pytest.mark.parametrize(
    ("position", "text"), [("front", "{} a photo of a."), ("middle", "a photo {} of a."), ("end", "a photo of a {}.")]
)
def test_the_class_stands_where_it_is_told_to(folders, clip, position, text) -> None:
    names = NAMES[:3]
    with torch.no_grad():
        weights = PromptLearner(clip, names, position=position).class_weights(clip)
    torch.testing.assert_close(weights, encoded(folders["clip"], [text.format(n) for n in names]), atol=2e-6, rtol=0)


@pytest.mark.parametrize("class_specific", [False, True])
@pytest.mark.parametrize("prompts", [1, 3])
@pytest.mark.parametrize(("position", "before"), [("end", 5), ("middle", 2), ("front", 0)])
def test_shared_counts_the_leading_vectors_that_are_the_same_in_every_row(
    clip, class_specific, prompts, position, before
) -> None:
    learner = PromptLearner(
        clip,
        NAMES,
        context=5,
        class_specific=class_specific,
        prompts=prompts,
        position=position,
        generator=torch.Generator().manual_seed(0),
    )
    made = learner()
    assert learner.context.shape == ((prompts, 5, 5, 32) if class_specific else (prompts, 5, 32))
    assert made.shared == (1 + before if prompts == 1 and not class_specific else 1)
    same = (made.embeddings[:, : made.shared] == made.embeddings[:1, : made.shared]).all()
    assert same
    assert (made.embeddings[:, made.shared] != made.embeddings[0, made.shared]).any()
    assert made.class_of.tolist() == [0, 1, 2, 3, 4] * prompts
    weights = learner.class_weights(clip)
    (weights * torch.randn_like(weights)).sum().backward()
    assert (learner.context.grad.flatten(0, -2).abs().sum(1) > 0).all()


def test_several_prompts_of_a_class_are_averaged_into_one_unit_vector(clip) -> None:
    learner = PromptLearner(clip, NAMES, context=3, prompts=2, generator=torch.Generator().manual_seed(0))
    features = clip.encode_prompts(learner())
    expected = torch.stack([features[[c, c + 5]].mean(0) for c in range(5)])
    torch.testing.assert_close(learner.class_weights(clip), expected / expected.norm(dim=1, keepdim=True))


def test_words_start_several_prompts_apart_and_the_first_as_written(clip) -> None:
    learner = PromptLearner(clip, NAMES, prompts=2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(learner.context[0], clip.embed(clip.tokens("a photo of a")))
    assert not torch.equal(learner.context[0], learner.context[1])


def test_random_contexts_depend_on_the_generator_alone(clip) -> None:
    first, again, other = (
        PromptLearner(clip, NAMES, context=4, generator=torch.Generator().manual_seed(seed)).context
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.std().detach()) == pytest.approx(0.02, rel=0.3)
    with pytest.raises(SettingsError, match="need a generator"):
        PromptLearner(clip, NAMES, context=4)


def test_the_order_of_the_classes_changes_nothing_but_the_order(clip) -> None:
    swapped = [3, 1, 4, 0, 2]
    torch.testing.assert_close(
        zero_shot_weights(clip, [NAMES[i] for i in swapped]), zero_shot_weights(clip, NAMES)[swapped]
    )


def test_zero_shot_weights_are_the_mean_over_templates(folders, clip) -> None:
    texts = ["a photo of a {}.", "a bad photo of the {}", "{}."]
    weights = zero_shot_weights(clip, NAMES, [Template.parse(t.replace("{}", "{class}")) for t in texts])
    features = torch.stack([encoded(folders["clip"], [t.format(n) for n in NAMES]) for t in texts]).mean(0)
    torch.testing.assert_close(weights, features / features.norm(dim=1, keepdim=True), atol=2e-6, rtol=0)
    assert not weights.requires_grad


def test_a_description_too_long_is_cut_between_words_and_noted(folders, clip) -> None:
    long = " ".join(["long whiskers and a tail"] * 20)
    learner = PromptLearner(clip, ["cat", "dog"], descriptions=[long, "red comb"])
    assert int(learner().length.max()) <= 77
    assert len(learner.notes) == 1
    assert "description of 'cat' was cut to" in learner.notes[0]
    words = int(learner.notes[0].split(" was cut to ")[1].split()[0])
    text = f"a photo of a cat, which has {' '.join(long.split()[:words])}."
    with torch.no_grad():
        weights = learner.class_weights(clip)
    torch.testing.assert_close(weights[:1], encoded(folders["clip"], [text]), atol=2e-6, rtol=0)


def test_a_class_name_too_long_is_named(clip) -> None:
    with pytest.raises(ModelError, match=r"class name 'zzz.* is too long: its prompt has .* room for 71"):
        PromptLearner(clip, ["cat", "z" * 90])


def test_only_the_context_is_saved(clip) -> None:
    assert list(PromptLearner(clip, NAMES).state_dict()) == ["context"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_names": []}, "Expected class names"),
        ({"class_names": ["cat", " "]}, "none of them empty"),
        ({"prompts": 0}, "at least one prompt"),
        ({"position": "left"}, "end, middle, front, but found 'left'"),
        ({"descriptions": ["x"]}, "Expected 5 descriptions"),
        ({"context": -1}, "found -1"),
    ],
)
def test_arguments_without_sense_are_refused(clip, arguments, message) -> None:
    with pytest.raises(SettingsError, match=message):
        PromptLearner(clip, **({"class_names": NAMES} | arguments))


@pytest.mark.parametrize("classes", [4, 20])
def test_a_hundred_steps_of_a_linear_probe_end_near_logistic_regression(clip, classes: int) -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), 16)
    features = 1 + 0.5 * generator.standard_normal((classes, 64))[labels] + generator.standard_normal((len(labels), 64))
    features = torch.from_numpy(features / np.linalg.norm(features, axis=1, keepdims=True)).float()
    given = np.where(generator.random(len(labels)) < 0.3, generator.integers(0, classes, len(labels)), labels)
    probe = LinearProbe(classes, 64, torch.device("cpu"))
    optimiser = torch.optim.SGD(probe.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 100)
    losses = []
    for _ in range(100):
        optimiser.zero_grad()
        logits = clip.logit_scale * features @ probe.class_weights(clip).T
        losses.append(torch.nn.functional.cross_entropy(logits, torch.from_numpy(given)))
        losses[-1].backward()
        optimiser.step()
        schedule.step()
    assert max(losses) == losses[0]  # nothing overshoots
    theirs = LogisticRegression(C=3.0, max_iter=1000).fit(features.numpy(), given).predict(features.numpy())
    with torch.no_grad():
        ours = (features @ probe.class_weights(clip).T).argmax(1).numpy()
    assert (ours == theirs).mean() > 0.9
