import csv
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audits import audit_of
from srrs.audit.table import Audit, Rows
from srrs.data.tables import unguarded
from srrs.errors import DataError
from srrs.records import Evidence, Finding, Group, Matched, NoiseEstimate, Partition, Round, Targets, Thresholds

COLUMNS = [
    *("id", "path", "given", "status", "quality", "p_clean", "suggested", "suggested_confidence"),
    *("match", "zero_shot", "macro", "micro", "neighbors_agree", "issue", "flags"),
]
SETTINGS = {"model": "bundled", "matcher": None, "method": "srrs"}


def permuted(last: Round, order: np.ndarray) -> Round:
    """The same round with its rows in another order."""

    def cut(record):
        arrays = {k: v[order] for k, v in vars(record).items() if isinstance(v, np.ndarray)}
        return replace(record, **arrays)

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
    assert (noisy.quality, noisy.p_clean, noisy.neighbors_agree) == (0.1, 0.1, 0.2)
    assert np.isnan(noisy.match)


def test_an_unusable_row_has_no_numbers_and_says_why(audit):
    row = audit.to_pandas().iloc[1]
    assert (row.path, row.given, row.issue) == ("x/bad.jpg", "husky", "truncated image file")
    filled = {"id", "path", "given", "status", "issue"}
    assert row.drop(filled).isna().all()


def test_a_row_left_out_without_an_issue_still_says_why(rows, last_round):
    rows = replace(rows, issues=(None,) * 5, given=np.array([0, -1, 0, 2, 1]))
    row = audit_of(rows, last_round, SETTINGS).to_pandas().iloc[1]
    assert row.issue == "has no label"
    assert row.given is None


def test_columns_of_predictions_carry_the_names_of_the_tuners(rows, last_round, tmp_path):
    audit = Audit.of(rows, np.array([4, 2, 0, 3]), last_round, {}, predicted={"mine": np.array([0, 1, 2, 0])})
    assert audit.tuned == ("mine",)
    assert audit.table.mine.tolist() == ["nan", None, "husky", "wolf", "wolf"]
    assert audit.table.zero_shot.isna().all()
    assert Audit.from_json(audit.to_json(tmp_path / "audit.json")).tuned == ("mine",)


@given(order=st.permutations(range(4)))
def test_the_order_of_the_round_changes_nothing(order):
    rows = Rows(tuple("dbac"), (None,) * 4, np.array([1, 0, 0, 2]), ("wolf", "husky", "nan"), (None,) * 4)
    last, features = _round(), np.random.default_rng(0).normal(size=(4, 3))
    moved = permuted(last, np.array(order))
    ids = [rows.ids[row] for row in order]
    tables = [
        audit_of(rows, last, SETTINGS, ids=rows.ids, features=features),
        audit_of(rows, moved, SETTINGS, ids=ids, features=features[list(order)]),
    ]
    pd.testing.assert_frame_equal(*(audit.to_pandas() for audit in tables))


def test_neighbors_agreement_comes_from_the_features(rows, last_round):
    features = np.array([[1, 0], [0, 1], [0, 1], [1, 0]], dtype=np.float32)
    evidence = replace(last_round.evidence, labels=np.array([1, 0, 0, 1]))
    rows = replace(rows, given=np.array([0, 1, 0, 1, 1]))
    table = audit_of(rows, replace(last_round, evidence=evidence), features=features).to_pandas()
    assert table.neighbors_agree.dropna().tolist() == [1, 1, 1, 1]


def test_of_very_many_no_neighbors_are_searched(rows, last_round, monkeypatch):
    monkeypatch.setattr("srrs.core.blocks.WHOLE", 3)
    assert audit_of(rows, last_round).to_pandas().neighbors_agree.isna().all()


def test_a_table_that_is_written_in_pieces_is_the_same_file(audit, tmp_path, monkeypatch):
    whole = audit.to_csv(tmp_path / "whole.csv").read_bytes()
    monkeypatch.setattr("srrs.data.tables.PIECE", 2)
    assert audit.to_csv(tmp_path / "pieces.csv").read_bytes() == whole


def test_csv_holds_names_and_empty_cells(audit, tmp_path):
    path = audit.to_csv(tmp_path / "deep" / "audit.csv")
    with path.open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == COLUMNS
    assert [row["given"] for row in found] == ["wolf", "husky", "wolf", "nan", "husky"]
    assert found[1]["quality"] == found[1]["suggested"] == found[3]["path"] == ""
    assert [p.name for p in path.parent.iterdir()] == ["audit.csv"]


def test_csv_opens_harmlessly_in_a_spreadsheet(rows, last_round, tmp_path):
    names = ("=cmd|' /C calc'!A0", "+1", "'@x")
    rows = replace(rows, class_names=names, ids=("-1", "bad", "b", "\tc", "'quoted"), paths=("=x",) * 5)
    ids = ("'quoted", "b", "-1", "\tc")
    path = audit_of(rows, last_round, ids=ids).to_csv(tmp_path / "audit.csv")
    with path.open(newline="", encoding="utf-8") as file:
        cells = [row[name] for row in csv.DictReader(file) for name in ("id", "path", "given", "suggested")]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert [unguarded(cell) for cell in cells[::4]] == list(rows.ids)
    assert {unguarded(cell) for cell in cells[2::4]} == set(names)


def test_a_file_name_whose_bytes_are_no_text_is_written_with_backslashes(rows, last_round, tmp_path):
    rows = replace(rows, ids=("a\udcff", "bad", "b", "c", "d"))
    text = audit_of(rows, last_round, ids=("d", "b", "a\udcff", "c")).to_csv(tmp_path / "audit.csv").read_text()
    assert text.splitlines()[1].startswith("a\\udcff,")


def test_csv_keeps_every_bit_of_a_float32(rows, last_round, tmp_path):
    quality = np.array([0.1, 1 / 3, 0.9999999, 1e-7], dtype=np.float32)
    audit = audit_of(rows, replace(last_round, quality=quality), SETTINGS)
    table = pd.read_csv(audit.to_csv(tmp_path / "audit.csv"))
    assert set(table.quality.dropna().astype(np.float32)) == set(quality)


def test_json_round_trips_to_the_same_audit(audit, tmp_path):
    path = audit.to_json(tmp_path / "audit.json")
    back = Audit.from_json(path)
    pd.testing.assert_frame_equal(back.to_pandas(), audit.to_pandas())
    assert back.summary().to_dict() == audit.summary().to_dict()
    assert (back.settings, back.class_names, back.noise) == (audit.settings, audit.class_names, audit.noise)
    assert (back.bands, back.findings, back.trusted) == (audit.bands, audit.findings, audit.trusted)
    assert path.read_bytes() == back.to_json(tmp_path / "again.json").read_bytes()


def test_flags_stand_in_the_last_column_and_are_counted(rows, last_round, tmp_path):
    flags = {"a": "near-duplicate of d", "b": "trusted; blurry", "bad": None, "d": ""}
    audit = audit_of(rows, last_round, SETTINGS, flags=flags)
    assert audit.to_pandas()["flags"].tolist() == ["near-duplicate of d", None, "trusted; blurry", None, None]
    assert audit.summary().to_dict()["flags"] == {"trusted": 1, "near-duplicate": 1, "blurry": 1}
    assert "flagged: 1 trusted, 1 near-duplicate, 1 blurry" in audit.summary().lines()
    back = Audit.from_json(audit.to_json(tmp_path / "audit.json"))
    pd.testing.assert_frame_equal(back.to_pandas(), audit.to_pandas())


def test_words_of_others_join_the_flags_and_change_nothing_else(rows, last_round, tmp_path):
    audit = audit_of(rows, last_round, SETTINGS, flags={"b": "trusted; blurry"})
    more = audit.with_flags({"a": ("odd size",), "b": ("blurry", "light"), "nobody": ("dark",)})
    expected = {"a": "odd size", "b": "trusted; blurry; light"}
    assert more.to_pandas()["flags"].tolist() == [expected.get(id) for id in audit.table.id]
    pd.testing.assert_frame_equal(more.table.drop(columns="flags"), audit.table.drop(columns="flags"))
    back = Audit.from_json(more.to_json(tmp_path / "audit.json"))
    pd.testing.assert_frame_equal(back.to_pandas(), more.to_pandas())
    pd.testing.assert_frame_equal(audit.with_flags({}).table, audit.table)


@pytest.mark.parametrize("version", [1, 2])
def test_audits_of_earlier_versions_can_still_be_read(audit, tmp_path, version):
    """Version 1 has no flags; versions 1 and 2 have a list of bounds that does not name their score."""
    path = audit.to_json(tmp_path / "audit.json")
    content = json.loads(path.read_text())
    for name in ("bands", "findings", "trusted"):
        del content[name]
    for row in content["rows"] if version == 1 else ():
        del row["flags"]
    path.write_text(json.dumps(content | {"schema_version": version, "thresholds": [[0.3, None]]}))
    back = Audit.from_json(path)
    pd.testing.assert_frame_equal(back.to_pandas(), audit.to_pandas())
    assert (back.bands, back.findings, back.trusted, back.tuned) == (None, (), True, ("macro", "micro"))
    assert back.summary().to_dict() == audit.summary().to_dict()
    assert Audit.from_json(back.to_json(tmp_path / "again.json")).bands is None


def test_json_has_a_version_a_summary_and_plain_rows(audit, tmp_path):
    content = json.loads(audit.to_json(tmp_path / "audit.json").read_text())
    assert list(content) == [
        *("schema_version", "summary", "settings", "class_names", "trusted", "findings", "bands", "rows")
    ]
    assert list(content["rows"][0]) == COLUMNS
    assert content["rows"][1]["quality"] is None
    assert content["summary"]["noise_matrix"] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_bands_name_the_score_that_was_cut(rows, last_round, tmp_path):
    cut = Thresholds("loss", np.array([0.1, 0.2, np.nan]), np.array([0.3, 0.4, np.nan]), np.zeros(4))
    last = replace(last_round, partition=replace(last_round.partition, thresholds=cut))
    path = audit_of(rows, last, SETTINGS).to_json(tmp_path / "audit.json")
    told = json.loads(path.read_text())["bands"]
    assert told == {"score": "loss", "lower": [0.1, 0.2, None], "upper": [0.3, 0.4, None]}
    back = Audit.from_json(path).bands
    assert (back.score, back.lower[:2], back.upper[:2]) == ("loss", (0.1, 0.2), (0.3, 0.4))
    assert np.isnan([back.lower[2], back.upper[2]]).all()


def test_statuses_that_follow_from_no_single_score_have_no_bands(rows, last_round, tmp_path):
    last = replace(last_round, partition=replace(last_round.partition, thresholds=None))
    path = audit_of(rows, last, SETTINGS).to_json(tmp_path / "audit.json")
    assert json.loads(path.read_text())["bands"] is None
    assert Audit.from_json(path).bands is None


def test_the_audit_keeps_what_screening_finds_of_its_evidence(rows, last_round, tmp_path):
    contradiction = "Labels and model contradict each other in the classes"
    found = (Finding("warning", contradiction, (2, 0)), Finding("info", "The labels decided."))
    partition = replace(last_round.partition, findings=found, trusted=False)
    audit = audit_of(rows, replace(last_round, partition=partition), SETTINGS)
    for one in (audit, Audit.from_json(audit.to_json(tmp_path / "audit.json"))):
        assert [finding.text for finding in one.findings] == [f"{contradiction} nan, wolf.", "The labels decided."]
        assert [finding.level for finding in one.findings] == ["warning", "info"]
        assert not one.trusted


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
    with pytest.raises(DataError, match="lacks class_names, settings, summary"):
        Audit.from_json(path)


def test_a_path_that_cannot_be_written_is_an_error_of_the_user(audit, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="Cannot write"):
        audit.to_csv(tmp_path / "file" / "audit.csv")


def test_rows_and_round_must_belong_together(rows, last_round):
    for at in ([0, 1, 2], [0, 0, 1, 2], [0, 1, 2, 5]):
        with pytest.raises(ValueError, match="each sample of the round must be one row"):
            Audit.of(rows, np.array(at), last_round, SETTINGS)
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
    rng = np.random.default_rng(0)
    soft, quality = rng.dirichlet(np.ones(3), 4), rng.random(4)
    group = np.array([Group.CLEAN, Group.NOISY, Group.CLEAN, Group.AMBIGUOUS])
    evidence = Evidence(np.arange(4, dtype=np.uint64), np.array([1, 0, 0, 2]), 3)
    partition = Partition(group, quality, NoiseEstimate(0.2, 0.1, 0.3))
    return Round(evidence, partition, Targets(soft, np.ones(4)), Matched(quality > 0.5, quality), quality)
