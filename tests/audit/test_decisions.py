import csv
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audits import hand_audit
from srrs.audit.decisions import Decision, read_decisions, read_trusted, settled, trusted_labels
from srrs.audit.table import Rows
from srrs.data.tables import unguarded
from srrs.errors import DataError

HEAD = "id,path,given,action,label\n"


@pytest.fixture
def small():
    rows = [
        {"id": "wolf/a.jpg", "path": "p/wolf/a.jpg", "given": "wolf", "suggested": "husky"},
        {"id": "wolf/b.jpg", "path": "p/wolf/b.jpg", "given": "wolf", "suggested": "wolf", "status": "clean"},
        {"id": "c\udc80.jpg", "path": "p/c\udc80.jpg", "status": "unusable", "issue": "no label"},
    ]
    return hand_audit(rows, ("husky", "wolf"))


def read(audit, folder, text, **options):
    (folder / "decisions.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_decisions(folder / "decisions.csv", audit, **options)


def test_every_action_is_read_with_the_label_it_ends_with(small, tmp_path):
    text = HEAD + "wolf/a.jpg,p/wolf/a.jpg,wolf,accept,husky\nwolf/b.jpg,,wolf,keep,wolf\n"
    text += "c\\udc80.jpg,p/c\\udc80.jpg,,relabel,husky\n"
    assert read(small, tmp_path, text) == {
        "wolf/a.jpg": Decision("accept", "husky"),
        "wolf/b.jpg": Decision("keep", "wolf"),
        "c\udc80.jpg": Decision("relabel", "husky"),
    }


def test_a_file_mended_in_a_spreadsheet_is_read(small, tmp_path):
    text = "\ufeffAction;ID;Label\r\nDrop;wolf/a.jpg;\r\n;;\r\nkeep;wolf/b.jpg;\r\n"
    assert read(small, tmp_path, text) == {"wolf/a.jpg": Decision("drop", None), "wolf/b.jpg": Decision("keep", "wolf")}


def test_accept_without_a_label_takes_the_suggestion(small, tmp_path):
    assert read(small, tmp_path, "id,action,label\nwolf/a.jpg,accept,\n")["wolf/a.jpg"].label == "husky"


def test_the_same_decision_twice_is_one(small, tmp_path):
    assert len(read(small, tmp_path, HEAD + 2 * "wolf/a.jpg,,wolf,accept,husky\n")) == 1


def test_a_new_class_is_taken_when_told_so(small, tmp_path):
    text = HEAD + "wolf/a.jpg,,wolf,relabel,fox\n"
    assert read(small, tmp_path, text, new_classes=True)["wolf/a.jpg"] == Decision("relabel", "fox")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks action and id and label"),
        ("id,label\n", "lacks action"),
        (HEAD + "x,,,keep,\n", "'x' in line 2 of .* is none of its 3. Give the audit"),
        (HEAD + "wolf/a.jpg,,wolf,rename,husky\n", "accept, keep, drop, relabel in line 2 .* found 'rename'"),
        (HEAD + "wolf/a.jpg,,wolf,relabel,huskey\n", "found 'huskey'. Did you mean 'husky'[?] If .* --new-classes"),
        (
            HEAD + "wolf/a.jpg,,wolf,relabel,fox\n",
            "one of the 2 classes .* found 'fox'. Fix it or, if .* --new-classes",
        ),
        (HEAD + "wolf/a.jpg,,wolf,relabel,\n", "column label of line 2 .* empty: relabel needs one"),
        (HEAD + "wolf/a.jpg,,fox,keep,fox\n", "line 2 of .* was made when the label was 'fox', and it is 'wolf' now"),
        (
            HEAD + "wolf/a.jpg,,wolf,keep,husky\n",
            "Expected 'wolf' to be kept in line 2 .* found 'husky'. Use .* relabel",
        ),
        (HEAD + "c\\udc80.jpg,,,keep,\n", "Expected 'no label' to be kept"),
        (HEAD + "c\\udc80.jpg,,,accept,\n", "accept needs one"),
        (
            HEAD + "wolf/a.jpg,,wolf,accept,husky\nwolf/b.jpg,,wolf,drop,\nwolf/a.jpg,,wolf,drop,\n",
            "lines 2 and 4 of .* differ on 'wolf/a.jpg': accept as 'husky', and drop. Remove one",
        ),
        (HEAD + "wolf/a.jpg,,wolf,accept,husky,more\n", "line 2 has 6 cells for 5 columns"),
        (HEAD + 'wolf/a.jpg,,"wolf"x,keep,\n', "line 2 is malformed"),
        (HEAD.encode() + b"\xff\n", "no UTF-8 text. Save it as CSV UTF-8"),
    ],
)
def test_what_cannot_be_acted_on_is_refused_with_its_line(small, tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(small, tmp_path, text)


def test_a_missing_file_is_named(small, tmp_path):
    with pytest.raises(DataError, match=r"nothing.csv, but it cannot be read: No such file"):
        read_decisions(tmp_path / "nothing.csv", small)


def guarded(text):
    """As the page writes a cell."""
    return f"'{text}" if text.lstrip("'")[:1] in tuple("=+-@\t\r") else text


@given(text=st.text(st.sampled_from("'=+-@\t\rab"), max_size=6))
@example(text="=cmd|' /C calc'!A0")
@example(text="'=a")
def test_the_quote_before_a_formula_is_taken_off_again(text):
    assert unguarded(guarded(text)) == text
    assert not guarded(text).startswith(tuple("=+-@\t\r"))


def test_names_with_separators_line_ends_and_formulas_come_back(tmp_path):
    ids = ["=1+1.jpg", "a,b;c.jpg", 'q"q".jpg', "two\nlines.jpg", " space .jpg", "\u2028.jpg", "'-x.jpg"]
    audit = hand_audit([{"id": id, "given": "wolf", "suggested": "husky"} for id in ids], ("husky", "wolf"))
    with (tmp_path / "d.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "action", "label"], *([guarded(id), "drop", ""] for id in ids)])
    assert list(read_decisions(tmp_path / "d.csv", audit)) == ids


HERE = Rows(("wolf/a.jpg", "wolf/b.jpg", "c"), (None,) * 3, np.array([0, 0, -1]), ("wolf", "husky"), (None,) * 3)


def trusted(folder, text, rows=HERE):
    (folder / "decisions.csv").write_text(text)
    return read_trusted(folder / "decisions.csv", rows)


def test_trusted_decisions_need_no_audit_and_pass_over_photos_that_are_gone(tmp_path):
    text = HEAD + "wolf/a.jpg,,wolf,keep,wolf\nwolf/b.jpg,,wolf,accept,husky\ngone,,fox,drop,\nc,,,relabel,husky\n"
    found = trusted(tmp_path, text)
    assert found == {
        "wolf/a.jpg": Decision("keep", "wolf"),
        "wolf/b.jpg": Decision("accept", "husky"),
        "c": Decision("relabel", "husky"),
    }


def test_a_label_that_was_put_right_since_is_trusted(tmp_path):
    put_right = replace(HERE, given=np.array([1, 0, -1]))
    found = trusted(tmp_path, HEAD + "wolf/a.jpg,,wolf,relabel,husky\n", put_right)
    assert found["wolf/a.jpg"].label == "husky"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("gone,,fox,drop,\n", "on these 3 images in .* but none is on any of them"),
        ("wolf/a.jpg,,husky,keep,husky\n", "was made when the label was 'husky', and it is 'wolf' now"),
        ("wolf/a.jpg,,wolf,relabel,huskey\n", "Did you mean 'husky'[?] If it is a new class, give it images"),
        ("wolf/a.jpg,,wolf,accept,\n", "a class in the column label of line 2"),
    ],
)
def test_decisions_that_cannot_be_trusted_are_refused(tmp_path, lines, message):
    with pytest.raises(DataError, match=message):
        trusted(tmp_path, HEAD + lines)


def test_a_mapping_of_labels_is_a_decision_on_each() -> None:
    found = trusted_labels({"wolf/a.jpg": "wolf", "wolf/b.jpg": None, "c": "husky", "gone": "fox"}, HERE)
    assert found == {
        "wolf/a.jpg": Decision("keep", "wolf"),
        "wolf/b.jpg": Decision("drop", None),
        "c": Decision("relabel", "husky"),
    }


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"gone": "wolf"}, "of these 3 images by their id, but no .* 'gone', is theirs. .* 'wolf/a.jpg'"),
        ({}, "of these 3 images by their id, but found none"),
        ({"c": "huskey"}, "the trusted label of 'c', but found 'huskey'. Did you mean 'husky'[?] If it is a new class"),
    ],
)
def test_a_mapping_that_fits_nothing_is_refused(labels, message):
    with pytest.raises(DataError, match=message):
        trusted_labels(labels, HERE)


def test_an_audit_knows_what_it_was_made_with():
    rows = [
        {"id": "a", "given": "wolf", "suggested": "husky", "flags": "trusted; blurry"},
        {"id": "b", "given": "wolf", "suggested": "wolf", "flags": "trusted"},
        {"id": "c", "given": "wolf", "suggested": "husky", "flags": "blurry"},
    ]
    audit = hand_audit(rows, ("wolf", "husky"))
    assert settled(audit) == {"a": Decision("relabel", "husky"), "b": Decision("keep", "wolf")}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_fifo_is_not_waited_for(audit, tmp_path):
    os.mkfifo(tmp_path / "decisions.csv")
    with pytest.raises(DataError, match="it cannot be read: not a regular file"):
        read_decisions(tmp_path / "decisions.csv", audit)
