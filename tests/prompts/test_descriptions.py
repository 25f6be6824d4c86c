import json
import os
from pathlib import Path

import pytest

from srrs.errors import DataError
from srrs.prompts import descriptions
from srrs.prompts.descriptions import bundled_descriptions, load_descriptions, match_descriptions, tidy


@pytest.mark.parametrize(
    ("given", "clause"),
    [
        ("long whiskers", "long whiskers"),
        ("which has long whiskers.", "long whiskers"),
        ("A photo of a hen, which has a red comb features.", "a red comb"),
        ("a photo of a hen which has  a red comb,\n two legs features", "a red comb, two legs"),
        ("which has distinctive features.", "distinctive features"),
        ("which has a beak and other distinctive features", "a beak and other distinctive features"),
        ("soft features", "soft features"),
        ("a hood that has a logo", "a hood that has a logo"),
        ("It has feathers.", "feathers"),
        ("which has features", "features"),
        ("a bill of about 2.5 cm.", "a bill of about 2.5 cm"),
        ("", ""),
    ],
)
def test_a_description_becomes_a_clause(given: str, clause: str) -> None:
    assert tidy(given) == clause


def test_texts_and_lists_of_descriptors_are_read(tmp_path: Path) -> None:
    table = {"hen": ["two legs", "a red comb.", "wings"], "cat": "which has whiskers", "dog": ["a tail"], "owl": []}
    (tmp_path / "d.json").write_text(json.dumps(table))
    assert load_descriptions(tmp_path / "d.json") == {
        "hen": "two legs, a red comb and wings",
        "cat": "whiskers",
        "dog": "a tail",
        "owl": "",
    }


def test_classes_are_matched_whatever_case_and_underscores_and_the_rest_is_noted() -> None:
    found = match_descriptions(
        ["Sea_Horse", "grand piano", "owl", "in-line skate"],
        {"sea horse": "a curled tail", "Grand_Piano": "keys", "owl": "", "In line Skate": "wheels"},
    )
    assert found.clauses == ("a curled tail", "keys", None, "wheels")
    assert found.missing == ("owl",)
    assert found.note() == "No description for 1 of 4 classes (owl): their described prompt is the plain one."
    assert match_descriptions(["owl"], {"owl": "x"}).note() is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "Expected {class name: description} in .* but found a list"),
        ('{"hen": 3}', "text or a list of texts for class 'hen' in .* but found 3"),
        ("{", "are not JSON"),
        ("[" * 100_000, "are not JSON"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "d.json").write_text(content)
    with pytest.raises(DataError, match=message):
        load_descriptions(tmp_path / "d.json")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json' cannot be read"):
        load_descriptions(tmp_path / "none.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(DataError, match=r"pipe\.json' cannot be read: not a regular file"):
        load_descriptions(tmp_path / "pipe.json")


def test_bundled_descriptions_are_the_packages_own_or_none(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(descriptions, "files", lambda package: tmp_path)
    assert bundled_descriptions() == {}
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "descriptions.json").write_text('{"owl": "large eyes"}')
    assert bundled_descriptions() == {"owl": "large eyes"}
