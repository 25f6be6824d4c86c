"""Tasks and configuration for Label Studio, read as it reads them."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest

from audits import hand_audit
from srrs.errors import DataError
from srrs.export.label_studio import write_label_studio

NAMES = ('"><Choice value="x"/>', "a & b", "tab\tname", "bell\x07")
ROWS = [
    {"id": "2", "path": "p/ü #1&d=x%20+.jpg", "given": NAMES[0], "suggested": NAMES[1], "suggested_confidence": 0.75},
    {"id": "1", "path": "p/b.jpg", "given": NAMES[2], "suggested": NAMES[3], "suggested_confidence": 0.5},
    {"id": "3", "path": "p/c.jpg", "given": None, "status": "unusable", "issue": "has no label", "flags": "blurry"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_label_studio(hand_audit(ROWS, NAMES), tmp_path / "out", tmp_path, served=tmp_path)


def tasks(folder: Path) -> list[dict]:
    return json.loads((folder / "tasks.json").read_bytes())


def test_rows_come_back_in_order_with_ids_names_and_files(folder: Path) -> None:
    assert [task["data"]["id"] for task in tasks(folder)] == ["2", "1", "3"]
    assert [task["data"]["given"] for task in tasks(folder)] == [NAMES[0], NAMES[2], ""]
    assert [task["data"]["flags"] for task in tasks(folder)] == [None, None, "blurry"]
    urls = [urlsplit(task["data"]["image"]) for task in tasks(folder)]
    assert {url.path for url in urls} == {"/data/local-files/"}
    assert [parse_qs(url.query)["d"] for url in urls] == [[row["path"]] for row in ROWS]
    assert not any(url.fragment for url in urls)


def test_the_choices_are_the_classes_whatever_they_are_called(folder: Path) -> None:
    view = ElementTree.parse(folder / "label_config.xml").getroot()
    (choices,) = view.findall("Choices")
    assert [choice.get("value") for choice in view.iter("Choice")] == [*NAMES[:3], "bell\ufffd"]
    assert choices.get("toName") == view.find("Image").get("name")


def test_a_prediction_names_a_control_an_object_and_a_choice_of_the_configuration(folder: Path) -> None:
    view = ElementTree.parse(folder / "label_config.xml").getroot()
    values = {choice.get("value") for choice in view.iter("Choice")}
    first, second, third = (task["predictions"] for task in tasks(folder))
    for (prediction,) in (first, second):
        (result,) = prediction["result"]
        assert result["type"] == "choices"
        assert result["from_name"] == view.find("Choices").get("name")
        assert result["to_name"] == view.find("Image").get("name")
        assert set(result["value"]["choices"]) <= values
    assert (first[0]["score"], second[0]["score"]) == (0.75, 0.5)
    assert first[0]["model_version"].startswith("srrs ")
    assert third == []


def test_every_variable_of_the_configuration_is_in_every_task(folder: Path) -> None:
    view = ElementTree.parse(folder / "label_config.xml").getroot()
    variables = {tag.get("value")[1:] for tag in view if (tag.get("value") or "").startswith("$")}
    assert variables == {"image", "given"}
    assert all(isinstance(task["data"][name], str) for task in tasks(folder) for name in variables)


def test_pictures_that_label_studio_would_not_serve_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Expected images below .*/served, .* but found .*/p/ü"):
        write_label_studio(hand_audit(ROWS, NAMES), tmp_path / "out", tmp_path, served=tmp_path / "served")


def test_classes_that_would_become_one_choice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="differ by more than control characters"):
        write_label_studio(hand_audit([], ("a\x01", "a\x02")), tmp_path)


def test_a_row_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'x' is no file"):
        write_label_studio(hand_audit([{"id": "x", "given": "a & b"}], NAMES), tmp_path)
