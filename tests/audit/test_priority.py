import csv
from dataclasses import replace

import numpy as np

from audits import audit_of
from srrs.audit.priority import review_order, write_review
from srrs.audit.table import Audit


def test_the_order_of_rows_does_not_change_the_order_to_look(rows, last_round) -> None:
    audit = audit_of(rows, last_round, {})
    turned = replace(rows, **{k: getattr(rows, k)[::-1] for k in ("ids", "paths", "given", "issues")})
    other = audit_of(turned, last_round, {})
    named = [[a.table.id[row] for row in review_order(a, 9)] for a in (audit, other)]
    assert named[0] == named[1]
    assert sorted(named[0]) == ["a", "b", "c", "d"]  # the unusable one is not among them
    assert named[0][:2] == [audit.table.id[row] for row in review_order(audit, 2)]


def test_what_is_decided_need_not_be_looked_at(rows, last_round) -> None:
    audit = audit_of(rows, last_round, {}, flags={"b": "trusted; dark"})
    assert "b" not in [audit.table.id[row] for row in review_order(audit, 9)]


def test_the_lowest_quality_comes_first(audit) -> None:
    usable = audit.table[audit.table.status != "unusable"]
    wanted = usable.sort_values(["quality", "id"]).index.tolist()
    assert review_order(audit, 99).tolist() == wanted
    assert review_order(audit, 2).tolist() == wanted[:2]


def test_names_that_are_no_text_are_ordered_too(audit) -> None:
    """The name of a file may have bytes that are not UTF-8."""
    renamed = audit.table.assign(id=audit.table.id.replace("b", "b\udcff"))
    assert review_order(replace(audit, table=renamed), 9).tolist() == review_order(audit, 9).tolist()


def test_an_audit_of_a_file_has_the_same_order(audit, tmp_path) -> None:
    back = Audit.from_json(audit.to_json(tmp_path / "audit.json"))
    assert review_order(back, 3).tolist() == review_order(audit, 3).tolist()


def test_the_review_is_a_table_with_ranks(audit, tmp_path) -> None:
    with write_review(audit, np.array([2, 0]), tmp_path / "review.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["review"], row["id"], row["given"], row["suggested"]) for row in found] == [
        ("1", "b", "wolf", "husky"),
        ("2", "a", "wolf", "wolf"),
    ]
