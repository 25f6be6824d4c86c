import csv
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srrs.audit.table import Audit, Rows
from srrs.errors import DataError
from srrs.records import Group, Round

COLUMNS = [
    *("id", "path", "given", "status", "quality", "p_clean", "suggested", "suggested_confidence"),
    *("match", "zero_shot", "macro", "micro", "neighbours_agree", "issue", "flags"),
]
SETTINGS = {"model": "bundled", "matcher": None, "method": "srrs"}


def permuted(last: Round, order: np.ndarray) -> Round:
    """The same round with its rows in another order."""

    def cut(record):
        arrays = {k: v for k, v in vars(record).items() if isinstance(v, np.ndarray) and k != "thresholds"}
        ids = {"ids": tuple(record.ids[i] for i in order)} if hasattr(record, "ids") else {}
        return replace(record, **{k: v[order] for k, v in arrays.items()}, **ids)

    parts = {k: cut(getattr(last, k)) for k in ("evidence", "partition", "targets", "matched")}
    return replace(last, **parts, quality=last.quality[order])


def test_table_has_the_promised_columns_in_the_users_row_order(audit):
    table = audit.to_pandas()
    assert list(table.columns) == COLUMNS
    assert list(table.index) == [0, 1, 2, 3, 4]
    assert list(table.id) == ["a", "bad", "b", "c", "d"]
    assert list(table.status) == ["clean", "unusable", "noisy", "ambiguous", "outside"]


def test_classes_are_names_and_numbers_are_the_rounds(audit):
    noisy = audit.to_pandas().set_index("id").loc["b"]
    assert (noisy.given, noisy.suggested, noisy.zero_shot, noisy.macro, noisy.micro) == ("wolf", *["husky"] * 3, "wolf")
    assert noisy.suggested_confidence == pytest.approx(0.9)
    assert (noisy.quality, noisy.p_clean, noisy.neighbours_agree) == (0.1, 0.1, 0.2)
    assert np.isnan(noisy.match)


def test_an_unusable_row_has_no_numbers_and_says_why(audit):
    row = audit.to_pandas().iloc[1]
    assert (row.path, row.given, row.issue) == ("x/bad.jpg", "husky", "truncated image file")
    filled = {"id", "path", "given", "status", "issue"}
    assert row.drop(filled).isna().all()


def test_a_row_left_out_without_an_issue_still_says_why(rows, last_round):
    rows = replace(rows, issues=(None,) * 5, given=np.array([0, -1, 0, 2, 1]))
    row = Audit.of(rows, last_round, SETTINGS, neighbours_agree=np.zeros(4)).to_pandas().iloc[1]
    assert row.issue == "has no label"
    assert row.given is None


def test_one_learner_leaves_micro_empty(rows, last_round):
    evidence = replace(last_round.evidence, probs=last_round.evidence.probs[:, :1])
    audit = Audit.of(rows, replace(last_round, evidence=evidence), SETTINGS, neighbours_agree=np.zeros(4))
    assert audit.to_pandas().micro.isna().all()


@given(order=st.permutations(range(4)))
def test_the_order_of_the_round_changes_nothing(order):
    rows = Rows(tuple("dbac"), (None,) * 4, np.array([1, 0, 0, 2]), ("wolf", "husky", "nan"), (None,) * 4)
    last = _round()
    tables = [Audit.of(rows, r, SETTINGS).to_pandas() for r in (last, permuted(last, np.array(order)))]
    pd.testing.assert_frame_equal(*tables)


def test_neighbours_agreement_comes_from_the_features(rows, last_round):
    pytest.importorskip("srrs.core.neighbors")
    features = np.array([[1, 0], [0, 1], [0, 1], [1, 0]], dtype=np.float32)
    labels = np.array([1, 0, 0, 1])
    evidence = replace(last_round.evidence, features=features, labels=labels)
    rows = replace(rows, given=np.array([0, 1, 0, 1, 1]))
    table = Audit.of(rows, replace(last_round, evidence=evidence), SETTINGS).to_pandas()
    assert table.neighbours_agree.dropna().tolist() == [1, 1, 1, 1]


def test_of_very_many_no_neighbours_are_searched(rows, last_round, monkeypatch):
    monkeypatch.setattr("srrs.core.blocks.WHOLE", 3)
    assert Audit.of(rows, last_round, SETTINGS).to_pandas().neighbours_agree.isna().all()


def test_csv_holds_names_and_empty_cells(audit, tmp_path):
    path = audit.to_csv(tmp_path / "deep" / "audit.csv")
    with path.open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == COLUMNS
    assert [row["given"] for row in found] == ["wolf", "husky", "wolf", "nan", "husky"]
    assert found[1]["quality"] == found[1]["suggested"] == found[3]["path"] == ""
    assert [p.name for p in path.parent.iterdir()] == ["audit.csv"]


def test_csv_keeps_every_bit_of_a_float32(rows, last_round, tmp_path):
    quality = np.array([0.1, 1 / 3, 0.9999999, 1e-7], dtype=np.float32)
    audit = Audit.of(rows, replace(last_round, quality=quality), SETTINGS, neighbours_agree=np.zeros(4))
    table = pd.read_csv(audit.to_csv(tmp_path / "audit.csv"))
    assert set(table.quality.dropna().astype(np.float32)) == set(quality)


def test_json_round_trips_to_the_same_audit(audit, tmp_path):
    path = audit.to_json(tmp_path / "audit.json")
    back = Audit.from_json(path)
    pd.testing.assert_frame_equal(back.to_pandas(), audit.to_pandas())
    assert back.summary().to_dict() == audit.summary().to_dict()
    assert (back.settings, back.class_names, back.noise) == (audit.settings, audit.class_names, audit.noise)
    assert np.array_equal(back.thresholds, audit.thresholds)
    assert path.read_bytes() == back.to_json(tmp_path / "again.json").read_bytes()


def test_flags_stand_in_the_last_column_and_are_counted(rows, last_round, tmp_path):
    flags = {"a": "near-duplicate of d", "b": "trusted; blurry", "bad": None, "d": ""}
    audit = Audit.of(rows, last_round, SETTINGS, neighbours_agree=np.zeros(4), flags=flags)
    assert audit.to_pandas()["flags"].tolist() == ["near-duplicate of d", None, "trusted; blurry", None, None]
    assert audit.summary().to_dict()["flags"] == {"trusted": 1, "near-duplicate": 1, "blurry": 1}
    assert "flagged: 1 trusted, 1 near-duplicate, 1 blurry" in audit.summary().lines()
    back = Audit.from_json(audit.to_json(tmp_path / "audit.json"))
    pd.testing.assert_frame_equal(back.to_pandas(), audit.to_pandas())


def test_words_of_others_join_the_flags_and_change_nothing_else(rows, last_round, tmp_path):
    audit = Audit.of(rows, last_round, SETTINGS, neighbours_agree=np.zeros(4), flags={"b": "trusted; blurry"})
    more = audit.with_flags({"a": ("odd size",), "b": ("blurry", "light"), "nobody": ("dark",)})
    expected = {"a": "odd size", "b": "trusted; blurry; light"}
    assert more.to_pandas()["flags"].tolist() == [expected.get(id) for id in audit.table.id]
    pd.testing.assert_frame_equal(more.table.drop(columns="flags"), audit.table.drop(columns="flags"))
    back = Audit.from_json(more.to_json(tmp_path / "audit.json"))
    pd.testing.assert_frame_equal(back.to_pandas(), more.to_pandas())
    pd.testing.assert_frame_equal(audit.with_flags({}).table, audit.table)


def test_an_audit_of_the_first_version_can_still_be_read(audit, tmp_path):
    path = audit.to_json(tmp_path / "audit.json")
    content = json.loads(path.read_text())
    for row in content["rows"]:
        del row["flags"]
    path.write_text(json.dumps(content | {"schema_version": 1}))
    pd.testing.assert_frame_equal(Audit.from_json(path).to_pandas(), audit.to_pandas())


def test_json_has_a_version_a_summary_and_plain_rows(audit, tmp_path):
    content = json.loads(audit.to_json(tmp_path / "audit.json").read_text())
    assert list(content) == ["schema_version", "summary", "settings", "class_names", "thresholds", "rows"]
    assert list(content["rows"][0]) == COLUMNS
    assert content["rows"][1]["quality"] is None
    assert content["summary"]["noise_matrix"] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_a_file_that_is_no_audit_is_refused(tmp_path):
    path = tmp_path / "audit.json"
    with pytest.raises(DataError, match=r"cannot be read"):
        Audit.from_json(path)
    path.write_text("no json")
    with pytest.raises(DataError, match="found no JSON"):
        Audit.from_json(path)
    path.write_text('{"schema_version": 99}')
    with pytest.raises(DataError, match="found schema version 99"):
        Audit.from_json(path)
    path.write_text('{"schema_version": 1, "rows": []}')
    with pytest.raises(DataError, match="lacks class_names, settings, summary, thresholds"):
        Audit.from_json(path)


def test_a_path_that_cannot_be_written_is_an_error_of_the_user(audit, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="Cannot write"):
        audit.to_csv(tmp_path / "file" / "audit.csv")


def test_rows_and_round_must_belong_together(rows, last_round):
    with pytest.raises(ValueError, match="labels of the round"):
        Audit.of(replace(rows, given=np.zeros(5, dtype=int)), last_round, SETTINGS)
    with pytest.raises(ValueError, match="every id of the round"):
        Audit.of(replace(rows, ids=("z", "bad", "b", "c", "d")), last_round, SETTINGS)
    with pytest.raises(ValueError, match="ids must be unique"):
        replace(rows, ids=("a", "a", "b", "c", "d"))
    with pytest.raises(ValueError, match="one length"):
        replace(rows, paths=())
    with pytest.raises(ValueError, match="given must lie"):
        replace(rows, given=np.array([0, 0, 0, 0, 3]))


def test_the_table_handed_out_is_a_copy(audit):
    table = audit.to_pandas()
    table.loc[0, "given"] = "cat"
    assert audit.to_pandas().given[0] == "wolf"


def _round() -> Round:
    from srrs.records import Evidence, Matched, NoiseEstimate, Partition, Targets

    rng = np.random.default_rng(0)
    soft = rng.dirichlet(np.ones(3), 4)
    quality = rng.random(4)
    group = np.array([Group.CLEAN, Group.NOISY, Group.CLEAN, Group.AMBIGUOUS])
    features = rng.normal(size=(4, 3))
    labels = np.array([1, 0, 0, 2])
    evidence = Evidence(tuple("dbac"), labels, soft[:, None], soft, features, quality, quality)
    partition = Partition(group, quality, np.array([[0.3, 0.7]]), NoiseEstimate(0.2, 0.1, 0.3))
    return Round(evidence, partition, Targets(soft, np.ones(4)), Matched(quality > 0.5, quality), quality)
