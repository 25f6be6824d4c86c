import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audits import hand_audit
from srrs.audit import journal
from srrs.audit.apply import act, dataset_folder, find_root, into_folder, read_audit, safe_name, undo_name
from srrs.audit.decisions import Decision
from srrs.audit.journal import read_journal, undo
from srrs.audit.plan import plan
from srrs.errors import DataError

FILES = {
    "hot_dog/a.jpg": ("hot dog", "cat"),
    "hot_dog/b.jpg": ("hot dog", "hot dog"),
    "hot_dog/deep/c.jpg": ("hot dog", "cat"),
    "cat/a.jpg": ("cat", "cat"),
    "cat/x.png": ("cat", "hot dog"),
}
DECISIONS = {
    "hot_dog/a.jpg": Decision("accept", "cat"),
    "hot_dog/deep/c.jpg": Decision("relabel", "red fox"),
    "cat/x.png": Decision("drop", None),
}


@pytest.fixture
def photos(tmp_path):
    for number, name in enumerate(FILES):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * 9)
    return tmp_path / "photos"


@pytest.fixture
def audit(photos):
    rows = [
        {"id": name, "path": str(photos / name), "given": given, "suggested": other}
        for name, (given, other) in FILES.items()
    ]
    return hand_audit(rows, ("cat", "hot dog"))


def contents(folder):
    """Relative path to bytes of every file, folders as None."""
    return {p.relative_to(folder).as_posix(): None if p.is_dir() else p.read_bytes() for p in folder.rglob("*")}


def files(folder):
    return {name: data for name, data in contents(folder).items() if data is not None}


def test_a_copy_has_every_photo_under_its_new_class_and_the_original_stays(photos, audit, tmp_path):
    before = contents(photos)
    work = into_folder(plan(audit, DECISIONS), tmp_path / "new", tmp_path / "undo.json")
    assert not (tmp_path / "new").exists()
    assert act(work, tmp_path / "undo.json") == tmp_path / "new"
    assert files(tmp_path / "new") == {
        "cat/a.jpg": before["cat/a.jpg"],
        "cat/a-2.jpg": before["hot_dog/a.jpg"],
        "hot_dog/b.jpg": before["hot_dog/b.jpg"],
        "red fox/deep/c.jpg": before["hot_dog/deep/c.jpg"],
    }
    assert contents(photos) == before


def test_undoing_a_copy_removes_it_and_nothing_else(photos, audit, tmp_path):
    act(into_folder(plan(audit, DECISIONS), tmp_path / "deep" / "new", tmp_path / "undo.json"), tmp_path / "undo.json")
    (tmp_path / "deep" / "mine.txt").write_text("mine")
    before = contents(photos)
    undo(tmp_path / "undo.json")
    assert files(tmp_path / "deep") == {"mine.txt": b"mine"}
    assert not (tmp_path / "deep" / "new").exists()
    assert contents(photos) == before
    assert undo(tmp_path / "undo.json").state == "undone"


def test_in_place_moves_what_is_decided_and_undo_restores_every_byte(photos, audit, tmp_path):
    before = contents(photos)
    act(into_folder(plan(audit, DECISIONS), photos, tmp_path / "undo.json", in_place=True), tmp_path / "undo.json")
    assert files(photos) == {
        "cat/a.jpg": before["cat/a.jpg"],
        "cat/a-2.jpg": before["hot_dog/a.jpg"],
        "hot_dog/b.jpg": before["hot_dog/b.jpg"],
        "red fox/deep/c.jpg": before["hot_dog/deep/c.jpg"],
    }
    assert files(tmp_path / "photos-dropped") == {"cat/x.png": before["cat/x.png"]}
    undo(tmp_path / "undo.json")
    assert contents(photos) == before
    assert not (tmp_path / "photos-dropped").exists()


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("then", ["go on", "undo"])
def test_what_is_cut_short_can_be_finished_or_undone(photos, audit, tmp_path, monkeypatch, in_place, steps, then):
    before, where = contents(photos), photos if in_place else tmp_path / "new"
    log, todo = tmp_path / "undo.json", plan(audit, DECISIONS)
    name = "_move" if in_place else "_copy"
    step, left = getattr(journal, name), [steps]

    def stumbling(start, end):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        step(start, end)

    work = into_folder(todo, where, log, in_place=in_place)
    monkeypatch.setattr(journal, name, stumbling)
    with pytest.raises(KeyboardInterrupt):
        act(work, log)
    monkeypatch.setattr(journal, name, step)
    assert read_journal(log).state == "started"
    if then == "undo":
        undo(log)
        assert contents(photos) == before
        assert not (tmp_path / "new").exists()
    act(into_folder(todo, where, log, in_place=in_place), log)
    assert files(where)["cat/a-2.jpg"] == before["hot_dog/a.jpg"]
    assert len(files(where)) == 4
    undo(log)
    assert contents(photos) == before


def test_undoing_twice_or_cut_short_ends_the_same(photos, audit, tmp_path, monkeypatch):
    before, log = contents(photos), tmp_path / "undo.json"
    act(into_folder(plan(audit, DECISIONS), photos, log, in_place=True), log)
    step, left = journal._unmove, [1]

    def stumbling(start, end):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return step(start, end)

    monkeypatch.setattr(journal, "_unmove", stumbling)
    with pytest.raises(KeyboardInterrupt):
        undo(log)
    monkeypatch.setattr(journal, "_unmove", step)
    with pytest.raises(DataError, match="work that is being undone"):
        into_folder(plan(audit, DECISIONS), photos, log, in_place=True)
    undo(log)
    undo(log)
    assert contents(photos) == before


def test_a_photo_changed_since_is_left_alone_and_named(photos, audit, tmp_path):
    act(into_folder(plan(audit, DECISIONS), tmp_path / "new", tmp_path / "undo.json"), tmp_path / "undo.json")
    (tmp_path / "new" / "cat" / "a-2.jpg").write_bytes(b"touched up")
    with pytest.raises(DataError, match=r"changed or removed since: \S+a-2.jpg. They were left alone, all else"):
        undo(tmp_path / "undo.json")
    assert files(tmp_path / "new") == {"cat/a-2.jpg": b"touched up"}
    (tmp_path / "new" / "cat" / "a-2.jpg").unlink()
    assert undo(tmp_path / "undo.json").state == "undone"
    assert not (tmp_path / "new").exists()


def test_what_is_done_is_not_done_again(photos, audit, tmp_path):
    log = tmp_path / "undo.json"
    act(into_folder(plan(audit, DECISIONS), photos, log, in_place=True), log)
    with pytest.raises(DataError, match=r"work that is done already. Undo that first with: srrs undo \S+undo.json"):
        into_folder(plan(audit, DECISIONS), photos, log, in_place=True)
    with pytest.raises(DataError, match="found one of other work, on"):
        into_folder(plan(audit, {}), photos, log, in_place=True)


def test_a_file_in_the_way_is_never_overwritten(photos, audit, tmp_path):
    log = tmp_path / "undo.json"
    work = into_folder(plan(audit, DECISIONS), photos, log, in_place=True)
    before = contents(photos)
    (photos / "cat" / "a-2.jpg").write_bytes(b"came later")
    with pytest.raises(DataError, match=r"Cannot write \S+a-2.jpg: another file is there. .* srrs undo"):
        act(work, log)
    assert (photos / "cat" / "a-2.jpg").read_bytes() == b"came later"
    (photos / "cat" / "a-2.jpg").unlink()
    undo(log)
    assert contents(photos) == before


def test_another_disk_is_moved_to_by_copying(photos, audit, tmp_path, monkeypatch):
    before, log = contents(photos), tmp_path / "undo.json"

    def across(self, target):
        raise OSError(journal.errno.EXDEV, "another disk")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", across)
        act(into_folder(plan(audit, DECISIONS), photos, log, in_place=True), log)
        undo(log)
    assert contents(photos) == before


def test_photos_of_a_table_go_to_folders_named_by_their_class(tmp_path):
    names = ["one/1.jpg", "two/1.jpg", "two/2.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    rows = [{"id": f"{i}", "path": name, "given": "../a/b"} for i, name in enumerate(names)]
    audit = hand_audit(rows, ("../a/b", ".._a_b"))
    decisions = {"2": Decision("relabel", ".._a_b")}
    new = tmp_path / "here" / "new"
    act(into_folder(plan(audit, decisions), new, tmp_path / "undo.json", root=tmp_path), tmp_path / "undo.json")
    assert files(new) == {
        "_.._a_b/1.jpg": b"one/1.jpg",
        "_.._a_b/1-2.jpg": b"two/1.jpg",
        "_.._a_b-2/2.jpg": b"two/2.jpg",
    }


def test_unusable_photos_are_left_out_unless_decided(photos, audit, tmp_path):
    table = audit.table.assign(status="unusable")
    audit = hand_audit(table.to_dict("records"), audit.class_names)
    decisions = {"cat/a.jpg": Decision("keep", "cat")}
    act(into_folder(plan(audit, decisions), tmp_path / "new", tmp_path / "undo.json"), tmp_path / "undo.json")
    assert list(files(tmp_path / "new")) == ["cat/a.jpg"]


@pytest.mark.parametrize(
    ("where", "in_place", "message"),
    [
        ("photos", False, "Expected a folder apart from the images, but they lie in .* --in-place"),
        ("photos/cleaned", False, "Expected a folder apart from the images"),
        ("full", False, "empty or a new folder at .*full, but something is there"),
        ("nowhere", True, "holds the images at .*nowhere, but there is none"),
        ("full", True, "Expected the images to change in .*full, but .*a.jpg is not there"),
    ],
)
def test_folders_that_do_not_serve_are_refused(photos, audit, tmp_path, where, in_place, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(DataError, match=message):
        into_folder(plan(audit, DECISIONS), tmp_path / where, tmp_path / "undo.json", in_place=in_place)
    assert contents(tmp_path) == before


def test_missing_photos_are_counted_and_the_first_is_named(photos, audit, tmp_path):
    shutil.rmtree(photos / "hot_dog")
    with pytest.raises(DataError, match=r"but 3 are not there, \S+hot_dog\S+ first"):
        into_folder(plan(audit, DECISIONS), tmp_path / "new", tmp_path / "undo.json")


def test_one_file_of_two_rows_is_not_moved_twice(photos, audit, tmp_path):
    twice = audit.table.assign(id=list("abcde"), path=str(photos / "cat/a.jpg"))
    decisions = {"a": Decision("relabel", "cat"), "b": Decision("drop", None)}
    with pytest.raises(DataError, match="one file has several rows"):
        into_folder(plan(replace(audit, table=twice), decisions), photos, tmp_path / "undo.json", in_place=True)


def test_a_row_without_a_file_needs_a_table(tmp_path):
    audit = hand_audit([{"id": "a", "given": "cat"}], ("cat", "dog"))
    with pytest.raises(DataError, match=r"'a' has none. Write a table instead, with --table"):
        into_folder(plan(audit, {}), tmp_path / "new", tmp_path / "undo.json")


def relative(audit, folder):
    """The same audit with paths relative to a folder, saved in `folder/out/deep`."""
    paths = [Path(path).relative_to(folder).as_posix() for path in audit.table.path]
    audit = replace(audit, table=audit.table.assign(path=paths))
    audit.to_json(folder / "out" / "deep" / "audit.json")
    return audit


def test_the_files_of_an_audit_are_found_from_any_directory(audit, tmp_path, monkeypatch):
    audit, elsewhere = relative(audit, tmp_path), tmp_path / "elsewhere"
    elsewhere.mkdir()
    for place in (tmp_path, elsewhere, tmp_path / "photos"):
        monkeypatch.chdir(place)
        assert find_root(audit, tmp_path / "out" / "deep") == tmp_path
        assert find_root(audit, Path("..") / "out" / "deep") == tmp_path
    monkeypatch.chdir(elsewhere)
    assert find_root(audit, elsewhere / "none") == tmp_path  # above it, too
    assert find_root(replace(audit, table=audit.table.assign(path="none.jpg")), tmp_path) == elsewhere


def test_the_folder_to_change_in_place_is_that_of_the_classes(audit, photos, tmp_path):
    assert dataset_folder(plan(audit, DECISIONS)) == photos
    assert dataset_folder(plan(relative(audit, tmp_path), {}), tmp_path) == photos
    flat = replace(audit, table=audit.table.assign(id=list("abcde")))
    with pytest.raises(DataError, match=r"but found 3 such folders. Name the folder to change with --to"):
        dataset_folder(plan(flat, {}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "found no JSON"),
        ("[" * 100_000, "found no JSON"),
        ("[]", "found something else"),
        ('{"schema_version": 9}', "another version of it"),
        ('{"schema_version": 1}', "kind: field required"),
        (
            '{"schema_version": 1, "kind": "copy", "digest": "a", "folder": "/x", "steps": [["/a"]]}',
            "steps, 0, 1: field",
        ),
        ('{"schema_version": 1, "kind": "erase", "digest": "a", "folder": "/x", "steps": []}', "kind: input should be"),
        ('{"schema_version": 1, "kind": "table", "digest": "a", "folder": "/x", "steps": []}', "it names no table"),
    ],
)
def test_undo_refuses_what_is_no_undo_file(tmp_path, text, message):
    (tmp_path / "u.json").write_text(text)
    with pytest.raises(DataError, match=rf"Expected an undo file of srrs apply at .*{message}"):
        undo(tmp_path / "u.json")
    with pytest.raises(DataError, match="cannot be read"):
        undo(tmp_path / "none.json")


@pytest.mark.parametrize("kind", ["copy", "move", "table"])
@pytest.mark.parametrize("end", ["{mine}", "{folder}/../mine.txt", "{folder}-other/a.txt", "mine.txt"])
def test_an_undo_file_that_leaves_its_folder_does_nothing(tmp_path, kind, end):
    folder, mine = tmp_path / "folder", tmp_path / "mine.txt"
    folder.mkdir()
    mine.write_text("mine")
    (tmp_path / "same.txt").write_text("mine")
    steps = [[str(tmp_path / "same.txt"), end.format(folder=folder, mine=mine)]]
    content = {"schema_version": 1, "kind": kind, "digest": "a", "folder": str(folder), "steps": steps, "state": "done"}
    (tmp_path / "u.json").write_text(json.dumps(content))
    before = contents(tmp_path)
    with pytest.raises(DataError, match=r"which is outside .*folder\. Nothing was done\."):
        undo(tmp_path / "u.json")
    assert contents(tmp_path) == before


def test_mutated_undo_files_are_refused_or_undone(photos, audit, tmp_path):
    log, rng = tmp_path / "undo.json", random.Random(0)
    act(into_folder(plan(audit, DECISIONS), photos, log, in_place=True), log)
    text, before = log.read_text(), contents(photos)
    for _ in range(200):
        at = rng.randrange(len(text))
        token = rng.choice(["null", "[]", "{}", '"x"', "-1", "../..", ""])
        log.write_text(text[:at] + token + text[at + rng.randint(0, 12) :])
        try:
            undo(log)
        except DataError:
            continue
    assert set(files(photos).values()) | set(files(tmp_path / "photos-dropped").values()) >= set(
        filter(None, before.values())
    )


def test_what_a_killed_copy_left_is_cleared_away(photos, audit, tmp_path):
    log, new = tmp_path / "undo.json", tmp_path / "new"
    work = into_folder(plan(audit, DECISIONS), new, log)
    part = journal._part(new / "cat" / "a.jpg")
    for then in ("continue", "undo"):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(b"half")
        if then == "continue":
            act(work, log)
            assert len(files(new)) == 4
        else:
            undo(log)
            assert not new.exists()


def test_a_disk_that_is_full_is_one_sentence_and_the_work_can_go_on(photos, audit, tmp_path, monkeypatch):
    log = tmp_path / "undo.json"
    work = into_folder(plan(audit, DECISIONS), tmp_path / "new", log)

    def full(start, end):
        raise OSError(journal.errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal.shutil, "copy2", full)
        with pytest.raises(DataError, match=r"the disk is full\. .* again to continue, or srrs undo"):
            act(work, log)
    act(into_folder(plan(audit, DECISIONS), tmp_path / "new", log), log)
    assert len(files(tmp_path / "new")) == 4


@given(label=st.text(max_size=300))
def test_a_class_name_as_a_folder_stays_one_folder(label):
    name = safe_name(label)
    assert Path("x", name).name == name
    assert Path("x", name).parent == Path("x")
    assert 0 < len(name.encode()) <= 201
    assert not set(name) & set('<>:"/\\|?*\0\n')
    assert name not in (".", "..")


def test_reserved_names_get_a_mark():
    assert [safe_name(n) for n in ("CON", "nul.txt", "..", "", "a/b.")] == ["_CON", "_nul.txt", "_", "_", "a_b"]


def test_undo_files_differ_by_work_and_place(audit, tmp_path):
    names = {undo_name(plan(audit, d), tmp_path / w) for d in (DECISIONS, {}) for w in ("a", "b")}
    assert len(names) == 4


def test_an_audit_is_read_from_its_folder_or_its_file(audit, tmp_path):
    audit.to_json(tmp_path / "audit.json")
    for path in (tmp_path, tmp_path / "audit.json"):
        assert plan(read_audit(path), DECISIONS).digest == plan(audit, DECISIONS).digest
    with pytest.raises(DataError, match=r"audit.json"):
        read_audit(tmp_path / "photos")
