import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from audits import audit_of, hand_audit
from srrs.audit.table import Rows
from srrs.io import printable
from srrs.records import NoiseEstimate


def test_the_summary_counts_what_the_table_says(audit):
    summary = audit.summary()
    assert (summary.images, summary.classes, summary.unusable, summary.changed) == (5, 3, 1, 1)
    assert summary.counts == {"noisy": 1, "ambiguous": 1, "clean": 1, "outside": 1, "unusable": 1}
    assert summary.zero_shot_agreement == 3 / 4
    assert summary.matrix.sum() == 4
    assert [(p.given, p.suggested, p.count) for p in summary.pairs] == [("wolf", "husky", 1)]


def test_the_summary_in_words(audit):
    assert str(audit.summary()) == (
        "5 images, 3 classes, 1 unusable; zero-shot agrees with 75 % of labels; estimated noise 25 % (22-29 %); "
        "1 noisy, 1 ambiguous, 1 clean, 1 outside; worst pair: wolf -> husky (1)"
    )


def test_the_screen_shows_every_line_and_reads_no_markup_in_names(rows, last_round):
    rows = replace(rows, class_names=("[red]wolf[/]", "hu\x1b[31msky", "nan"))
    audit = audit_of(rows, last_round, {})
    console = Console(width=120)
    with console.capture() as captured:
        console.print(audit.summary())
    assert "worst pair: [red]wolf[/] -> hu\N{REPLACEMENT CHARACTER}[31msky (1)" in captured.get()
    assert "1 noisy, 1 ambiguous" in captured.get()


def test_pairs_are_sorted_and_the_matrix_is_given_by_suggested(audit):
    table = audit.to_pandas()
    table = table.iloc[[0, 0, 0, 0]].assign(
        given=["wolf", "nan", "nan", "wolf"], suggested=["wolf", "husky", "husky", "nan"]
    )
    summary = replace(audit, table=table).summary()
    assert [(p.given, p.suggested, p.count) for p in summary.pairs] == [("nan", "husky", 2), ("wolf", "nan", 1)]
    assert summary.matrix.tolist() == [[1, 0, 1], [0, 0, 0], [0, 2, 0]]


def test_unknown_figures_are_null_and_question_marks(audit):
    unknown = float("nan")
    broken = audit.table.assign(status="unusable")
    summary = replace(audit, table=broken, noise=NoiseEstimate(unknown, unknown, unknown)).summary()
    assert summary.to_dict()["noise"] == {"rate": None, "low": None, "high": None}
    assert summary.to_dict()["zero_shot_agreement"] is None
    assert "estimated noise ? (?)" in summary.lines()


def test_control_and_direction_characters_are_replaced():
    assert printable("a\x00b\u202ec\udc80 猫") == "a\ufffdb\ufffdc\ufffd 猫"


def test_class_names_must_be_unique():
    with pytest.raises(ValueError, match="class_names must be unique"):
        Rows((), (), np.array([], dtype=int), ("a", "a"), ())


def test_of_very_many_classes_only_the_pairs_that_occur_are_kept() -> None:
    names = [f"class {i:04}" for i in range(5000)]
    rows = [{"id": str(i), "given": name, "suggested": names[i // 2]} for i, name in enumerate(names)]
    summary = hand_audit(rows, names).summary()
    assert summary.cells.shape == (5000, 3)
    assert summary.changed == 4999
    assert summary.to_dict()["noise_matrix"] is None
    assert len(json.dumps(summary.to_dict())) < 10_000
