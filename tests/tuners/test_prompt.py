"""Prompts with a learned context against the model's own encoding of the written prompts."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

import support
from srrs.errors import ModelError, SettingsError
from srrs.models.base import TextTower
from srrs.models.hub import load_model
from srrs.prompts.templates import Template
from srrs.records import Batch
from srrs.tuners import ClassPrompt, DescribedPrompt, Foundation
from srrs.tuners.prompt import FULL_SIZE, PromptLayout, _pace, zero_shot_weights

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


def made(model: TextTower, names: list[str] = NAMES, clauses: list[str | None] | None = None, **options) -> ClassPrompt:
    """A class prompt over a text tower; a described one if there are clauses."""
    foundation = Foundation(
        class_names=tuple(names),
        feature_size=model.feature_size,
        logit_scale=model.logit_scale,
        device=model.device,
        text=model,
        descriptions=tuple(clauses or ()),
        generator=torch.Generator().manual_seed(0),
    )
    return (DescribedPrompt if clauses else ClassPrompt)(foundation, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("described", [False, True])
def test_with_initial_words_it_starts_as_the_model_itself(folders, kind, shared, described) -> None:
    model = load_model(str(folders[kind]), device="cpu")
    names, clauses = (NAMES[:3], CLAUSES[:3]) if kind == "siglip" else (NAMES, CLAUSES)  # room for 16 tokens alone
    tuner = made(model, names, clauses if described else None, shared=shared)
    texts = [
        f"a photo of a {name}" + (f", which has {clause}." if described and clause else ".")
        for name, clause in zip(names, clauses, strict=True)
    ]
    with torch.no_grad():
        weights = tuner.class_weights()
    torch.testing.assert_close(weights, encoded(folders[kind], texts), atol=2e-6, rtol=0)
    assert tuner.layout.notes == ()


@pytest.mark.parametrize(
    ("position", "text"), [("front", "{} a photo of a."), ("middle", "a photo {} of a."), ("end", "a photo of a {}.")]
)
def test_the_class_stands_where_it_is_told_to(folders, clip, position, text) -> None:
    names = NAMES[:3]
    with torch.no_grad():
        weights = made(clip, names, position=position).class_weights()
    torch.testing.assert_close(weights, encoded(folders["clip"], [text.format(n) for n in names]), atol=2e-6, rtol=0)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("prompts", [1, 3])
@pytest.mark.parametrize(("position", "before"), [("end", 5), ("middle", 2), ("front", 0)])
def test_shared_counts_the_leading_vectors_that_are_the_same_in_every_row(
    clip, shared, prompts, position, before
) -> None:
    tuner = made(clip, random=5, shared=shared, prompts=prompts, position=position)
    layout, rows = tuner.layout, tuner.layout()
    assert layout.context.shape == ((prompts, 5, 32) if shared else (prompts, 5, 5, 32))
    assert rows.shared == (1 + before if prompts == 1 and shared else 1)
    same = (rows.embeddings[:, : rows.shared] == rows.embeddings[:1, : rows.shared]).all()
    assert same
    assert (rows.embeddings[:, rows.shared] != rows.embeddings[0, rows.shared]).any()
    assert rows.class_of.tolist() == [0, 1, 2, 3, 4] * prompts
    weights = tuner.class_weights()
    (weights * torch.randn_like(weights)).sum().backward()
    assert (layout.context.grad.flatten(0, -2).abs().sum(1) > 0).all()


def test_several_prompts_of_a_class_are_averaged_into_one_unit_vector(clip) -> None:
    tuner = made(clip, random=3, prompts=2)
    features = clip.encode_prompts(tuner.layout())
    expected = torch.stack([features[[c, c + 5]].mean(0) for c in range(5)])
    torch.testing.assert_close(tuner.class_weights(), expected / expected.norm(dim=1, keepdim=True))


def test_several_prompts_of_a_class_may_average_their_logits(clip) -> None:
    tuner = made(clip, random=3, prompts=2, average="logits")
    images = torch.nn.functional.normalize(torch.randn(4, clip.feature_size), dim=1)
    first, second = (
        clip.logit_scale * images @ each.T for each in clip.encode_prompts(tuner.layout()).view(2, len(NAMES), -1)
    )
    torch.testing.assert_close(tuner.logits(Batch(features=images)), (first + second) / 2, atol=1e-5, rtol=1e-5)


def test_words_start_several_prompts_apart_and_the_first_as_written(clip) -> None:
    context = made(clip, prompts=2).layout.context
    assert torch.equal(context[0], clip.embed(clip.tokens("a photo of a")))
    assert not torch.equal(context[0], context[1])


def test_options_of_the_tuner_choose_the_words_of_the_context(folders, clip) -> None:
    with torch.no_grad():
        weights = made(clip, NAMES[:2], words="a bad photo of the").class_weights()
    texts = [f"a bad photo of the {name}." for name in NAMES[:2]]
    torch.testing.assert_close(weights, encoded(folders["clip"], texts), atol=2e-6, rtol=0)


@pytest.mark.parametrize("shared", [True, False])
def test_the_departure_counts_contexts_that_moved_by_their_own_length(clip, shared: bool) -> None:
    prompt = made(clip, shared=shared)
    assert float(prompt.departure().detach()) == 0
    start = prompt.layout.context.detach().clone()
    with torch.no_grad():
        prompt.layout.context.mul_(-1)  # every vector is now twice its length away
    count = 1 if shared else len(NAMES)
    assert float(prompt.departure().detach()) == pytest.approx(4 * count, rel=1e-5)
    with torch.no_grad():
        prompt.layout.context.copy_(start).flatten(0, -3)[0].add_(start.square().mean().sqrt())
    assert float(prompt.departure().detach()) == pytest.approx(1, rel=1e-5)


def test_a_prompt_without_context_departs_from_nothing(clip) -> None:
    assert float(made(clip, words="").departure().detach()) == 0


def test_random_contexts_depend_on_the_generator_alone(clip) -> None:
    first, again, other = (
        PromptLayout(clip, NAMES, context=4, generator=torch.Generator().manual_seed(seed)).context
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.std().detach()) == pytest.approx(0.02, rel=0.3)
    with pytest.raises(SettingsError, match="need a generator"):
        PromptLayout(clip, NAMES, context=4)


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
    tuner = made(clip, ["cat", "dog"], [long, "red comb"])
    assert int(tuner.layout().length.max()) <= 77
    (note,) = tuner.layout.notes
    assert "description of 'cat' was cut to" in note
    words = int(note.split(" was cut to ")[1].split()[0])
    text = f"a photo of a cat, which has {' '.join(long.split()[:words])}."
    with torch.no_grad():
        weights = tuner.class_weights()
    torch.testing.assert_close(weights[:1], encoded(folders["clip"], [text]), atol=2e-6, rtol=0)


def test_a_class_name_too_long_is_named(clip) -> None:
    with pytest.raises(ModelError, match=r"class name 'zzz.* is too long: its prompt has .* room for 71"):
        made(clip, ["cat", "z" * 90])


def test_only_the_context_is_saved(clip) -> None:
    assert list(made(clip).state_dict()) == ["layout.context"]


def test_a_prompt_without_a_text_tower_is_refused(clip) -> None:
    foundation = Foundation(("cat",), 24, 100.0, torch.device("cpu"))
    with pytest.raises(SettingsError, match="Prompts need a text tower, but there is none"):
        ClassPrompt(foundation)


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
        PromptLayout(clip, **({"class_names": NAMES} | arguments))


def test_few_classes_and_small_embeddings_learn_more_slowly() -> None:
    context = torch.full((4, 8), FULL_SIZE)
    assert [_pace(context, classes) for classes in (2, 50, 100, 1000)] == pytest.approx([0.02, 0.5, 1, 1], rel=1e-4)
    assert [_pace(context * size, 100) for size in (0.5, 1, 20)] == pytest.approx([0.25, 1, 1], rel=1e-4)
