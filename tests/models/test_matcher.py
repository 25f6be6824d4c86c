"""The matcher against BLIP's own forward, and the memory of its scores."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, BlipForImageTextRetrieval

import support
from srrs.errors import ModelError
from srrs.models import hub, matcher
from srrs.models.matcher import MemoizedScores, load_matcher

TEXTS = ["a photo of a cat.", "a bad photo of the sea horse", "dog"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.tiny_blip(tmp_path_factory.mktemp("blip"))


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    draw = np.random.default_rng(0)  # large patches of color: fine noise looks alike to any tower
    patches = [Image.fromarray(draw.integers(0, 256, (3, 3, 3), dtype=np.uint8)) for _ in range(4)]
    return [patch.resize((50, 40), Image.Resampling.NEAREST) for patch in patches]


@pytest.mark.parametrize("itm", [True, False])
def test_scores_are_those_of_blips_own_forward(folder, pictures, itm: bool, monkeypatch) -> None:
    monkeypatch.setattr(matcher, "BATCH", 5)
    ours = load_matcher(str(folder), "any", "cpu")
    states = ours.encode_images(pictures)
    assert states.dtype == torch.float16
    rows, texts = torch.meshgrid(torch.arange(4), torch.arange(3), indexing="ij")
    scores = ours.scores(states, TEXTS, rows.flatten(), texts.flatten()) if itm else ours.similarity(states, TEXTS)

    reference, tokenizer = (
        BlipForImageTextRetrieval.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    preprocessing = hub.load_preprocessing(folder, "blip")
    expected = torch.empty(4, 3)
    for i, picture in enumerate(pictures):
        for t, text in enumerate(TEXTS):
            inputs = tokenizer(text, return_tensors="pt")
            with torch.no_grad():
                out = reference(
                    input_ids=inputs["input_ids"],
                    attention_mask=inputs["attention_mask"],
                    pixel_values=preprocessing.plain(picture)[None],
                    use_itm_head=itm,
                ).itm_score
            expected[i, t] = out.softmax(-1)[0, 1] if itm else (1 + out[0, 0]) / 2
    torch.testing.assert_close(scores.view(4, 3), expected, atol=2e-3, rtol=0)  # states are kept in float16
    assert expected.std() > 5e-3


@pytest.mark.parametrize("kind", ["itm", "itc"])
def test_each_pair_is_computed_once_ever(folder, pictures, kind, monkeypatch) -> None:
    ours = load_matcher(str(folder), "any", "cpu")
    states = ours.encode_images(pictures)
    table = (
        ours.scores(states, TEXTS, torch.arange(4).repeat_interleave(3), torch.arange(3).repeat(4)).view(4, 3)
        if kind == "itm"
        else ours.similarity(states, TEXTS)
    )
    asked: list[int] = []
    compute = MemoizedScores._compute
    monkeypatch.setattr(MemoizedScores, "_compute", lambda self, keys: asked.extend(keys) or compute(self, keys))
    memo = MemoizedScores(ours, states, TEXTS, kind=kind)
    for rows, classes in (([2, 0, 2], [1, 0, 1]), ([0, 1, 2, 3], [0, 2, 1, 2]), ([2], [1])):
        scores = memo(np.array(rows), np.array(classes))
        np.testing.assert_allclose(scores, table[rows, classes], atol=1e-5)
    assert sorted(asked) == sorted(set(asked))
    assert len(asked) == 4
    assert memo(np.array([], int), np.array([], int)).shape == (0,)


def test_auto_takes_the_bundled_matcher_with_the_bundled_model_and_else_none_without_a_gpu(
    folder, tmp_path, monkeypatch
) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "matcher").symlink_to(folder)
    monkeypatch.setattr(hub, "files", lambda package: tmp_path)
    found = load_matcher("auto", "bundled", "cpu")
    assert found is not None
    assert found.name == "bundled"
    assert load_matcher("auto", "openai/clip-vit-base-patch32", "cpu") is None
    assert load_matcher("none", "bundled", "cpu") is None


def test_a_matcher_that_was_named_must_be_one(tmp_path) -> None:
    with pytest.raises(ModelError, match=r"Expected a model of type blip, but .* is of type 'clip'"):
        load_matcher(str(support.tiny_clip(tmp_path)), "any", "cpu")
