"""The page "From arrays" runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "arrays.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def given() -> dict:
    """Labels of three separable classes of which one in ten is wrong, and every array that the page names."""
    rng = np.random.default_rng(0)
    means = np.eye(3, 8)
    truth = np.repeat(np.arange(3), 40)
    features = means[truth] + 0.1 * rng.standard_normal((120, 8))
    wrong = np.arange(120) % 10 == 0
    numbers = np.where(wrong, (truth + 1) % 3, truth)
    names = ["cat", "dog", "cow"]
    probs = np.full((120, 3), 0.05)
    probs[np.arange(120), truth] = 0.9
    return {
        "labels": numbers, "wrong": wrong, "image_features": features, "text_features": means, "names": names,
        "pred_probs": probs,
    }  # fmt: skip


def test_the_page_has_a_snippet_for_each_kind_of_input() -> None:
    assert len(SNIPPETS) == 3


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_snippet_runs_and_finds_the_wrong_labels(given, snippet, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "docs/arrays.md", "exec"), given)
    if "partition" in given:
        np.testing.assert_array_equal(given["partition"].group == 2, given["wrong"])
        return
    table = given["audit"].to_pandas()
    assert (table.status[given["wrong"]] != "clean").all()
    assert table.quality[given["wrong"]].max() < table.quality[~given["wrong"]].min()
    assert capsys.readouterr().out
