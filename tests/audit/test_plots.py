from xml.etree import ElementTree

import numpy as np
import pytest

from srrs.audit.plots import COLORS, noise_matrix, quality_histogram

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = ("<script>alert(1)</script>", "$\\frac{a$", "a\x00b", "猫", "&amp;", "\udc80")


def cells(matrix):
    """Row, column and count of each cell that is not zero."""
    given, suggested = np.nonzero(matrix)
    return np.stack([given, suggested, matrix[given, suggested]], axis=1)


def scores():
    rng = np.random.default_rng(0)
    return {"noisy": rng.random(30) * 0.3, "ambiguous": 0.3 + rng.random(5) * 0.4, "clean": 0.7 + rng.random(50) * 0.3}


def texts(svg):
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: quality_histogram(scores(), (0.3, 0.7)),
        lambda: noise_matrix(cells(np.arange(36).reshape(6, 6)), HOSTILE),
    ],
)
def test_a_figure_is_the_same_bytes_twice_themed_titled_and_free_of_styles(draw):
    svg = draw()
    assert svg == draw()
    assert "style" not in svg
    assert "script>" not in svg.replace("&lt;script&gt;", "").replace("&lt;/script&gt;", "")
    assert "#000000" not in svg
    assert "currentColor" in svg
    root = ElementTree.fromstring(svg)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert set(root.get("aria-labelledby").split()) <= set(ids)
    assert root.find(f"{SVG}title").text
    assert root.find(f"{SVG}desc").text


def test_two_figures_share_no_ids():
    found = [
        {element.get("id") for element in ElementTree.fromstring(svg).iter() if element.get("id")}
        for svg in (quality_histogram(scores(), None), noise_matrix(cells(np.ones((3, 3), dtype=int)), ("a", "b", "c")))
    ]
    assert not found[0] & found[1]


def test_histogram_text_is_text_and_thresholds_are_named():
    svg = quality_histogram(scores(), (0.31, 0.72))
    assert {"noisy below 0.31", "clean above 0.72", "noisy", "ambiguous", "clean"} <= set(texts(svg))
    assert all(COLORS[status] in svg for status in scores())
    assert "30 noisy, 5 ambiguous, 50 clean" in svg
    assert not any("below" in text for text in texts(quality_histogram(scores(), None)))


def test_a_histogram_of_nothing_is_drawn():
    assert "no usable image" in quality_histogram({}, None)


def test_matrix_shows_counts_and_hostile_names_as_text():
    found = texts(noise_matrix(cells(np.diag([7, 7, 7, 7, 7, 0]) + 40 * np.eye(6, k=1, dtype=int)), HOSTILE))
    assert found.count("7") == 5
    assert found.count("40") == 5
    assert {"<script>alert(1…", "$\\frac{a$", "a\ufffdb", "猫", "&amp;", "\ufffd"} <= set(found)


def test_only_the_busiest_classes_are_drawn_when_there_are_many():
    matrix = np.eye(50, dtype=int)
    matrix[40, 45] = 9
    svg = noise_matrix(cells(matrix), [f"class {i}" for i in range(50)], most=4)
    assert {"class 40", "class 45"} <= set(texts(svg))
    assert len({text for text in texts(svg) if text.startswith("class")}) == 4
    assert "The 4 classes with most changes of 50 are drawn" in svg
