import csv
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audits import COLUMNS, make_round
from srrs.audit.table import Audit, Bands, Finding, Rows
from srrs.errors import DataError
from srrs.records import Group, Matched, Round, Targets, Thresholds

SETTINGS = {"model": "bundled", "matcher": None, "method": "srrs"}


def permuted(last: Round, order: np.ndarray) -> Round:
    """The same round with its rows in another order."""

    def cut(record):
        arrays = {k: v for k, v in vars(record).items() if isinstance(v, np.ndarray)}
        return replace(record, **{k: v[order] for k, v in arrays.items()})

    cuts = last.partition.thresholds
    partition = replace(cut(last.partition), thresholds=cuts and replace(cuts, values=cuts.values[order]))
    parts = {k: cut(getattr(last, k)) for k in ("evidence", "targets", "matched")}
    return replace(last, **parts, partition=partition, quality=last.quality[order])


def test_table_has_the_promised_columns_in_the_users_row_order(audit):
    table = audit.to_pandas()
    assert tuple(table.columns) == COLUMNS
    assert list(table.index) == [0, 1, 2, 3, 4]
    assert list(table.id) == ["a", "bad", "b", "c", "d"]
    assert list(table.status) == ["clean", "unusable", "noisy", "ambiguous", "outside"]


def test_classes_are_names_and_numbers_are_the_rounds(audit):
    noisy = audit.to_pandas().set_index("id").loc["b"]
    assert (noisy.given, noisy.suggested, noisy.zero_shot, noisy.macro, noisy.micro) == ("wolf", *["husky"] * 3, "wolf")
    assert noisy.suggested_confidence == pytest.approx(0.9)
    assert (noisy.quality, noisy.p_clean) == (0.1, 0.1)
    assert np.isnan(noisy.match)


def test_an_unusable_row_has_no_numbers_and_says_why(audit):
    row = audit.to_pandas().iloc[1]
    assert (row.path, row.given, row.issue) == ("x/bad.jpg", "husky", "truncated image file")
    filled = {"id", "path", "given", "status", "issue"}
    assert row.drop(filled).isna().all()


def test_a_row_left_out_without_an_issue_still_says_why(rows, at, last_round):
    rows = replace(rows, issues=(None,) * 5, given=np.array([0, -1, 0, 2, 1]))
    row = Audit.of(rows, at, last_round, SETTINGS).to_pandas().iloc[1]
    assert row.issue == "has no label"
    assert row.given is None
    labelled = replace(rows, given=np.array([0, 1, 0, 2, 1]))
    assert Audit.of(labelled, at, last_round, SETTINGS).to_pandas().issue[1] == "was not audited"


@pytest.mark.parametrize("names", [(), ("probe",), ("micro", "an own tuner", "macro")])
def test_columns_of_tuned_predictions_carry_the_names_of_their_tuners(rows, at, last_round, tmp_path, names):
    classes = {name: np.array([number % 3] * 4) for number, name in enumerate(names)}
    audit = Audit.of(rows, at, last_round, SETTINGS, predicted={"zero_shot": np.zeros(4, int), **classes})
    assert audit.tuned == names
    assert tuple(audit.table) == (*COLUMNS[:10], *names, *COLUMNS[-3:])
    for number, name in enumerate(names):
        assert audit.table[name].tolist() == [*[rows.class_names[number]], None, *[rows.class_names[number]] * 3]
    assert Audit.from_json(audit.to_json(tmp_path / "audit.json")).tuned == names


def test_the_column_of_an_untuned_model_is_empty_where_there_is_none(rows, at, last_round):
    assert Audit.of(rows, at, last_round, SETTINGS).table.zero_shot.isna().all()


@given(order=st.permutations(range(4)))
def test_the_order_of_the_round_changes_nothing(order):
    rows = Rows(tuple("dbac"), (None,) * 4, np.array([1, 0, 0, 2]), ("wolf", "husky", "nan"), (None,) * 4)
    last, features, order = _round(), np.random.default_rng(1).normal(size=(4, 3)), np.array(order)
    moved = Audit.of(rows, order, permuted(last, order), SETTINGS, features=features[order])
    kept = Audit.of(rows, np.arange(4), last, SETTINGS, features=features)
    pd.testing.assert_frame_equal(kept.to_pandas(), moved.to_pandas())


def test_neighbours_agreement_comes_from_the_features(rows, at, last_round):
    features = np.array([[1, 0], [0, 1], [0, 1], [1, 0]], dtype=np.float32)
    evidence = replace(last_round.evidence, labels=np.array([1, 0, 0, 1]))
    rows = replace(rows, given=np.array([0, 1, 0, 1, 1]))
    table = Audit.of(rows, at, replace(last_round, evidence=evidence), SETTINGS, features=features).to_pandas()
    assert table.neighbours_agree.dropna().tolist() == [1, 1, 1, 1]


def test_without_features_no_neighbours_are_searched(rows, at, last_round):
    assert Audit.of(rows, at, last_round, SETTINGS).to_pandas().neighbours_agree.isna().all()


def test_of_very_many_no_neighbours_are_searched(rows, at, last_round, features, monkeypatch):
    monkeypatch.setattr("srrs.core.blocks.WHOLE", 3)
    monkeypatch.setattr("srrs.core.neighbors.nearest", lambda *_: pytest.fail("searched"))
    table = Audit.of(rows, at, last_round, SETTINGS, features=features).to_pandas()
    assert table.neighbours_agree.isna().all()


def test_csv_holds_names_and_empty_cells(audit, tmp_path):
    path = audit.to_csv(tmp_path / "deep" / "audit.csv")
    with path.open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert tuple(found[0]) == COLUMNS
    assert [row["given"] for row in found] == ["wolf", "husky", "wolf", "nan", "husky"]
    assert found[1]["quality"] == found[1]["suggested"] == found[3]["path"] == ""
    assert [p.name for p in path.parent.iterdir()] == ["audit.csv"]


def test_csv_keeps_every_bit_of_a_float32(rows, at, last_round, tmp_path):
    quality = np.array([0.1, 1 / 3, 0.9999999, 1e-7], dtype=np.float32)
    audit = Audit.of(rows, at, replace(last_round, quality=quality), SETTINGS)
    table = pd.read_csv(audit.to_csv(tmp_path / "audit.csv"))
    assert set(table.quality.dropna().astype(np.float32)) == set(quality)


def test_json_round_trips_to_the_same_audit(audit, tmp_path):
    path = audit.to_json(tmp_path / "audit.json")
    back = Audit.from_json(path)
    pd.testing.assert_frame_equal(back.to_pandas(), audit.to_pandas())
    assert back.summary().to_dict() == audit.summary().to_dict()
    assert (back.settings, back.class_names, back.noise) == (audit.settings, audit.class_names, audit.noise)
    assert back.bands == audit.bands == Bands("p_clean", (0.3,), (0.7,))
    assert path.read_bytes() == back.to_json(tmp_path / "again.json").read_bytes()


def test_flags_stand_in_the_last_column_and_are_counted(rows, at, last_round, tmp_path):
    flags = {"a": "near-duplicate of d", "b": "trusted; blurry", "bad": None, "d": ""}
    audit = Audit.of(rows, at, last_round, SETTINGS, flags=flags)
    assert audit.to_pandas()["flags"].tolist() == ["near-duplicate of d", None, "trusted; blurry", None, None]
    assert audit.summary().to_dict()["flags"] == {"trusted": 1, "near-duplicate": 1, "blurry": 1}
    assert "flagged: 1 trusted, 1 near-duplicate, 1 blurry" in audit.summary().lines()
    back = Audit.from_json(audit.to_json(tmp_path / "audit.json"))
    pd.testing.assert_frame_equal(back.to_pandas(), audit.to_pandas())


def test_words_of_others_join_the_flags_and_change_nothing_else(rows, at, last_round, tmp_path):
    audit = Audit.of(rows, at, last_round, SETTINGS, flags={"b": "trusted; blurry"})
    more = audit.with_flags({"a": ("odd size",), "b": ("blurry", "light"), "nobody": ("dark",)})
    expected = {"a": "odd size", "b": "trusted; blurry; light"}
    assert more.to_pandas()["flags"].tolist() == [expected.get(id) for id in audit.table.id]
    pd.testing.assert_frame_equal(more.table.drop(columns="flags"), audit.table.drop(columns="flags"))
    back = Audit.from_json(more.to_json(tmp_path / "audit.json"))
    pd.testing.assert_frame_equal(back.to_pandas(), more.to_pandas())
    pd.testing.assert_frame_equal(audit.with_flags({}).table, audit.table)


@pytest.mark.parametrize("version", [1, 2])
def test_audits_of_earlier_versions_can_still_be_read(audit, tmp_path, version):
    """Version 1 has no flags, versions 1 and 2 have a list of bounds that does not name their score."""
    path = audit.to_json(tmp_path / "audit.json")
    content = json.loads(path.read_text())
    for name in ("bands", "findings", "trusted"):
        del content[name]
    for row in content["rows"] if version == 1 else ():
        del row["flags"]
    path.write_text(json.dumps(content | {"schema_version": version, "thresholds": [[0.3, 0.7]]}))
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
    assert tuple(content["rows"][0]) == COLUMNS
    assert content["rows"][1]["quality"] is None
    assert content["summary"]["noise_matrix"] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_bands_name_the_score_that_was_cut(rows, at, last_round, tmp_path):
    cut = Thresholds("loss", np.array([0.1, 0.2, np.nan]), np.array([0.3, 0.4, np.nan]), np.zeros(4))
    last = replace(last_round, partition=replace(last_round.partition, thresholds=cut))
    path = Audit.of(rows, at, last, SETTINGS).to_json(tmp_path / "audit.json")
    assert json.loads(path.read_text())["bands"] == {
        **{"score": "loss", "lower": [0.1, 0.2, None], "upper": [0.3, 0.4, None]}
    }
    back = Audit.from_json(path).bands
    assert (back.score, back.lower[:2], back.upper[:2]) == ("loss", (0.1, 0.2), (0.3, 0.4))
    assert np.isnan([back.lower[2], back.upper[2]]).all()


def test_statuses_that_follow_from_no_single_score_have_no_bands(rows, at, last_round, tmp_path):
    last = replace(last_round, partition=replace(last_round.partition, thresholds=None))
    path = Audit.of(rows, at, last, SETTINGS).to_json(tmp_path / "audit.json")
    assert json.loads(path.read_text())["bands"] is None
    assert Audit.from_json(path).bands is None


def test_what_screening_finds_of_its_evidence_is_kept(rows, at, last_round, tmp_path):
    found = (("warning", "Labels and model contradict each other."), ("info", "The labels decided."))
    partition = replace(last_round.partition, findings=found, trusted=False)
    audit = Audit.of(rows, at, replace(last_round, partition=partition), SETTINGS)
    back = Audit.from_json(audit.to_json(tmp_path / "audit.json"))
    for one in (audit, back):
        assert (one.findings, one.trusted) == (tuple(Finding(*words) for words in found), False)


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
    with pytest.raises(DataError, match="lacks class_names, settings, summary\\."):
        Audit.from_json(path)


def test_a_path_that_cannot_be_written_is_an_error_of_the_user(audit, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="Cannot write"):
        audit.to_csv(tmp_path / "file" / "audit.csv")


def test_rows_and_round_must_belong_together(rows, at, last_round):
    for wrong in (at[:3], [4, 2, 2, 3], [4, 2, 0, 5]):
        with pytest.raises(ValueError, match="each sample of the round must be one row of the user's, once"):
            Audit.of(rows, np.array(wrong), last_round, SETTINGS)
    with pytest.raises(ValueError, match="the round knows 3 classes, not 4"):
        Audit.of(replace(rows, class_names=(*rows.class_names, "cat")), at, last_round, SETTINGS)
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
    """Four samples with random targets and scores."""
    rng = np.random.default_rng(0)
    soft, quality, labels = rng.dirichlet(np.ones(3), 4), rng.random(4), np.array([1, 0, 0, 2])
    group = np.array([Group.CLEAN, Group.NOISY, Group.CLEAN, Group.AMBIGUOUS])
    made = make_round(labels, labels, group, quality)
    return replace(made, targets=Targets(soft, np.ones(4)), matched=Matched(quality > 0.5, quality))
