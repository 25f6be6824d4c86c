import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import srrs
from bench.runs import classified, record, write_run
from srrs.bench.records import AuditScores, Record, read_records, to_jsonl
from srrs.bench.schema import pack, pack_classes, unpack, unpack_classes
from srrs.code import ELSEWHERE, IN_BENCH, code_digest, meaning
from srrs.errors import DataError

UNUSUAL = {
    "noise_rate": None,
    "noise_given": None,
    "noise_rectified": None,
    "shots": None,
    "noise_estimate": None,
    "zero_shot_auroc": None,
    "audit": AuditScores(),
    "needs": ("clean validation", "noise rate"),
}


@pytest.mark.parametrize("run", [record(), record(**UNUSUAL), classified([0, 1, 1, 5], [0, 1, 2, 5])])
def test_a_record_survives_json(run):
    content = json.loads(json.dumps(run.to_json(), allow_nan=False))
    assert Record.from_json(content) == run
    assert next(iter(content)) == "schema"


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_bits_survive_packing_and_are_numpys(bits):
    assert unpack(pack(np.array(bits)), len(bits)).tolist() == bits
    assert bytes.fromhex(pack(np.array(bits))) == np.packbits(bits).tobytes()


@given(st.lists(st.integers(0, 65_535), min_size=1, max_size=40))
def test_class_numbers_survive_packing(numbers):
    assert unpack_classes(pack_classes(np.array(numbers)), len(numbers)).tolist() == numbers


def test_a_record_returns_the_classes_of_its_test_images():
    found = classified([0, 2, 1, 1], [0, 1, 1, 1]).test_classes
    assert found is not None
    assert (found.predicted.tolist(), found.truth.tolist()) == ([0, 2, 1, 1], [0, 1, 1, 1])
    assert record().test_classes is None


def test_the_bits_of_a_record_are_its_test_photographs():
    assert record([1, 0, 1, 1, 0]).right.tolist() == [True, False, True, True, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"schema": 9},
            r"results/a.json to have schema version 1 or 2 or 3, but found 9\. Read it with the version of srrs",
        ),
        ({"accuracy": 1.5}, "accuracy must be at most 1, but is 1.5"),
        ({"ece": float("nan")}, "ece must be .*, but is nan"),
        ({"seed": True}, "seed must be a whole number, but is True"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"shots": 0}, "shots must be at least 1"),
        ({"method": ""}, "method must be a text that is not empty"),
        ({"needs": "noise rate"}, "needs must be a list, but is 'noise rate'"),
        ({"digest": "xyz"}, "digest must be text of the form .*, but is 'xyz'"),
        ({"noise_estimate": [0.1, 0.2]}, "noise_estimate.2 is missing"),
        ({"audit": {"aurok": 0.5}}, "there is no audit.aurok"),
        ({"correct": "c0ff"}, "one bit for each of 4 test images, but has 4 hex digits"),
        ({"accuracy": 0.75}, "accuracy is 0.75, but 0.5000 of the bits of correct are set"),
        ({"extra": 1}, "there is no extra"),
        ({"predicted": pack_classes([0, 1, 2, 3])}, "predicted and truth must be given together"),
        ({"predicted": "a", "truth": "a"}, "not base64 of compressed numbers"),
        ({"predicted": pack_classes([0, 1, 2]), "truth": pack_classes([0, 1, 2])}, "number for each of 4 test images"),
        ({"predicted": pack_classes([0] * 9999), "truth": pack_classes([0] * 4)}, "number for each of 4 test images"),
        ({"predicted": pack_classes([0] * 4), "truth": pack_classes([0] * 4)}, "correct must tell where predicted and"),
    ],
)
def test_a_record_that_makes_no_sense_says_why_and_where(change, message):
    with pytest.raises(DataError, match=message):
        Record.from_json(record().to_json() | change, "results/a.json")


def test_records_of_version_1_have_no_digest_of_the_code_and_are_read() -> None:
    content = record().to_json() | {"schema": 1}
    del content["code"]
    assert Record.from_json(content) == record()


def test_the_digest_of_the_code_changes_with_code_alone() -> None:
    source = b'"""What."""\n\ndef f(x):\n    """Say."""\n    # why\n    return x + 1\n'
    assert meaning(source) == meaning(b"def f(x):\n    return x + 1")
    assert meaning(source) != meaning(source.replace(b"x + 1", b"x + 2"))
    assert len(code_digest()) == 12


def test_every_part_of_the_package_that_the_digest_names_exists() -> None:
    package = Path(srrs.__file__).parent
    assert {path.stem for path in package.iterdir()} >= ELSEWHERE
    assert {path.stem for path in (package / "bench").iterdir()} >= IN_BENCH


def test_what_is_missing_is_named():
    content = record().to_json()
    del content["seed"], content["ece"]
    with pytest.raises(DataError, match="seed is missing"):
        Record.from_json(content)


@pytest.mark.parametrize("content", [[], 3, {"step": 1, "noise_rectified": 0.2}])
def test_what_is_no_record_is_called_so(content):
    with pytest.raises(DataError, match=r"line 3 to be the result of a run .* it has no schema"):
        Record.from_json(content, "line 3")


def test_a_record_cannot_be_made_with_values_that_make_no_sense():
    with pytest.raises(ValueError, match="noise_given"):
        record(noise_given=-0.1)


def test_folders_and_files_are_read_in_any_mixture(tmp_path):
    a, b, c, d = (record(seed=seed) for seed in (1, 2, 3, 4))
    folder = write_run(tmp_path / "grid" / "deep" / "a", a, history=[{"step": 1, "noise_rectified": 0.2}])
    write_run(tmp_path / "single", b)
    (tmp_path / "grid" / "kept.jsonl").write_text(to_jsonl([c]))
    (tmp_path / "one.jsonl").write_text("\n" + to_jsonl([d]).rstrip("\n"))
    found = read_records(
        [tmp_path / "grid", tmp_path / "single", tmp_path / "one.jsonl", tmp_path / "single" / "result.json"]
    )
    assert found.records == [c, a, b, d]
    assert found.notes == []
    assert found.folders == {a.digest: folder, b.digest: tmp_path / "single"}


def test_a_line_that_is_cut_off_is_skipped_with_a_note(tmp_path):
    path = tmp_path / "records.jsonl"
    text = to_jsonl([record(seed=1), record(seed=2)])
    for length in range(text.index("\n") + 2, len(text) - 1, 97):
        path.write_text(text[:length])
        found = read_records([path])
        assert len(found.records) == 1
        assert found.notes == [f"{path}, line 2 is cut off or no JSON: skipped"]


def test_bytes_that_are_no_text_and_numbers_that_are_none_are_skipped_with_a_note(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_bytes(b'\xff\xfe{"schema": 1}\n{"schema": NaN}\n' + to_jsonl([record()]).encode())
    found = read_records([path])
    assert found.records == [record()]
    assert [note.split(" is ")[0] for note in found.notes] == [f"{path}, line 1", f"{path}, line 2"]


def test_runs_that_have_not_finished_are_skipped_and_counted(tmp_path):
    write_run(tmp_path / "done", record())
    for name in ("b", "c", "d", "e"):
        (write_run(tmp_path / name, record(seed=2)) / "result.json").unlink()
    (write_run(tmp_path / "f", record(seed=3)) / "result.json").write_text('{"schema": 1, "dig')
    (tmp_path / "empty").mkdir()
    found = read_records([tmp_path])
    assert found.records == [record()]
    assert found.notes[0] == f"{tmp_path / 'f' / 'result.json'} is cut off or no JSON: skipped"
    assert found.notes[1].startswith(f"runs that have not finished are skipped: 4 ({tmp_path / 'b'}, ")
    assert found.notes[1].endswith("...)")


def test_the_same_run_twice_counts_once(tmp_path):
    again = replace(record(), seconds=99.0, versions={"srrs": "0.2.0"})
    (tmp_path / "a.jsonl").write_text(to_jsonl([record()]))
    (tmp_path / "b.jsonl").write_text(to_jsonl([again]))
    found = read_records([tmp_path / "b.jsonl", tmp_path])
    assert found.records == [again]
    assert found.notes == []


def test_records_that_contradict_each_other_are_noted_and_the_first_counts(tmp_path):
    other = replace(record(), macro_f1=0.4)
    (tmp_path / "a.jsonl").write_text(to_jsonl([record()]))
    folder = write_run(tmp_path / "b", other)
    found = read_records([tmp_path])
    assert found.records == [record()]
    assert found.notes == [
        f"{folder / 'result.json'} contradicts an earlier record of the same run ({other.digest}): skipped"
    ]
    assert found.folders == {}


def test_a_path_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"a folder of runs or a JSONL file of records at .*nowhere, but there is"):
        read_records([tmp_path / "nowhere"])


def test_another_schema_version_is_an_error_that_names_the_line(tmp_path):
    (tmp_path / "old.jsonl").write_text(to_jsonl([record()]) + '{"schema": 0}\n')
    with pytest.raises(DataError, match=r"old.jsonl, line 2 to have schema version 1 or 2 or 3, but found 0"):
        read_records([tmp_path])


@given(st.permutations(range(5)))
def test_lines_come_in_one_order(order):
    runs = [record(seed=seed, method=name) for seed, name in enumerate(("srrs", "coop", "gce", "coop", "srrs"))]
    assert to_jsonl(runs[i] for i in order) == to_jsonl(runs)
