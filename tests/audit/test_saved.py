"""audit.json: its schema, and files of it that were edited or damaged."""

import copy
import json
import random
from pathlib import Path

import pytest

from srrs.audit.saved import read_saved, schema
from srrs.errors import DataError

ROOT = Path(__file__).parents[2]
AUDIT = {
    "schema_version": 3,
    "summary": {"images": 2, "noise": {"rate": 0.2, "low": 0.1, "high": None}},
    "settings": {"model": "bundled", "versions": {"srrs": "0.1.0"}},
    "class_names": ["wolf", "husky"],
    "trusted": False,
    "findings": [{"level": "warning", "text": "Few images."}],
    "bands": {"score": "p_clean", "lower": [0.3], "upper": [0.7]},
    "rows": [
        {"id": "a", "path": "x/a.jpg", "given": "wolf", "status": "noisy", "quality": 0.1, "p_clean": 0.2,
         "suggested": "husky", "suggested_confidence": 0.9, "match": None, "zero_shot": "husky", "macro": "husky",
         "neighbors_agree": 0, "issue": None, "flags": "blurry"},
        {"id": "b\udc80", "path": None, "given": None, "status": "unusable", "issue": "truncated"},
    ],
}  # fmt: skip


def written(folder, content):
    path = folder / "audit.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_whole_audit_is_read(tmp_path):
    assert read_saved(written(tmp_path, AUDIT)) == AUDIT


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_audit_with_the_earlier_spelling_of_a_column_is_read(tmp_path, version):
    earlier = changed(schema_version=version)
    earlier["rows"][0]["neighbours_agree"] = earlier["rows"][0].pop("neighbors_agree")
    assert read_saved(written(tmp_path, earlier))["rows"] == AUDIT["rows"]


def changed(**changes):
    """The audit with some entries replaced; a path is written as rows__0__id."""
    content = copy.deepcopy(AUDIT)
    for place, value in changes.items():
        *way, last = (int(step) if step.isdigit() else step for step in place.split("__"))
        inner = content
        for step in way:
            inner = inner[step]
        inner[last] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "found no JSON"),
        ("[" * 100_000, "found no JSON"),
        ('{"schema_version": NaN}', "found no JSON: NaN is no number"),
        ("[]", "the file is a list: input should be a valid dictionary"),
        ({"schema_version": 3, "rows": []}, "it lacks class_names, settings, summary"),
        (changed(schema_version=99), "found schema version 99"),
        (changed(rows=None), "rows is None: input should be a valid list"),
        (changed(rows__0__quality="0.5"), "row 1, quality is '0.5': input should be a valid number"),
        (changed(rows__1__status="fine"), "row 2, status is 'fine': input should be 'noisy', 'ambiguous'"),
        (changed(rows__1=["a"]), "row 2 is a list: input should be a valid dictionary"),
        (changed(rows__1__id="a"), "the id 'a' stands in several rows"),
        (changed(rows__0__given="fox"), "row 1, given is 'fox', which is none of class_names"),
        (changed(rows__0__macro=3), "row 1, macro is 3, which is none of class_names"),
        (changed(rows__0__macro=[]), "row 1, macro is [], which is none of class_names"),
        (changed(class_names=["wolf", "wolf"]), "a class name stands twice"),
        (changed(summary__noise={"rate": 0.1}), "it lacks summary, noise, low"),
        (changed(bands__lower=[0.1, 0.2]), "lower and upper bounds of different number"),
        (changed(findings__0__level="fatal"), "findings, 0, level is 'fatal'"),
        (changed(settings=[]), "settings is a list"),
    ],
)
def test_an_audit_that_was_edited_or_damaged_is_refused_with_the_place(tmp_path, content, message):
    with pytest.raises(DataError) as caught:
        read_saved(written(tmp_path, content))
    assert message in str(caught.value)
    assert str(caught.value).endswith("Make it again with srrs audit.") or "no JSON" in message


def test_mutated_audits_are_read_or_refused(tmp_path):
    rng, text = random.Random(0), json.dumps(AUDIT)
    tokens = ["null", "[]", "{}", '"x"', "-1", "1e999", "true", "9" * 5000, ""]
    refused = 0
    for _ in range(300):
        at = rng.randrange(len(text))
        changed = text[:at] + rng.choice(tokens) + text[at + rng.randint(0, 12) :]
        try:
            read_saved(written(tmp_path, changed))
        except DataError:
            refused += 1
    assert 0 < refused < 300


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_saved(tmp_path / "none.json")


def test_the_schema_in_the_docs_is_that_of_the_code():
    assert json.loads((ROOT / "docs" / "audit.schema.json").read_text()) == schema()


def test_the_schema_accepts_what_is_read_and_refuses_what_is_not():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema())
    assert validator.is_valid(AUDIT)
    for wrong in (changed(rows__0__quality="0.5"), changed(rows=None), changed(findings__0__level="fatal")):
        assert not validator.is_valid(wrong)
