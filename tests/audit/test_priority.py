import csv
from dataclasses import replace

import numpy as np
import pytest

from audits import audit_of
from srrs.audit.priority import doubt, review_order, write_review
from srrs.audit.table import Audit
from srrs.core.metrics import audit_auroc
from srrs.errors import DataError
from srrs.records import Evidence, Group, Matched, NoiseEstimate, Partition, Round, Targets


def noisy_round(seed: int = 0) -> tuple[Round, np.ndarray, np.ndarray]:
    """Two hundred samples of four classes, a fifth labeled wrongly, and a screening that is right most of the time."""
    rng = np.random.default_rng(seed)
    classes = np.arange(200) % 4
    labels = np.where(np.arange(200) % 5 == 0, (classes + 1) % 4, classes)
    features = np.eye(8)[classes] + 0.25 * rng.normal(size=(200, 8))
    posterior = rng.dirichlet(np.ones(4), 200) + 0.2 * np.eye(4)[classes]
    posterior /= posterior.sum(1, keepdims=True)
    quality, ones = posterior[np.arange(200), labels], np.ones(200)
    evidence = Evidence(np.arange(200, dtype=np.uint64), labels, 4)
    partition = Partition(np.full(200, Group.AMBIGUOUS), quality, NoiseEstimate(0.2, 0.1, 0.3), posterior=posterior)
    last = Round(evidence, partition, Targets(posterior, ones), Matched(ones > 0, ones), quality)
    return last, features, labels != classes


def test_a_second_witness_ranks_better_than_quality_alone() -> None:
    last, features, wrong = noisy_round()
    assert audit_auroc(-doubt(last, features), wrong) > audit_auroc(last.quality, wrong)


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


def test_an_audit_of_a_file_cannot_be_ordered(audit, tmp_path) -> None:
    back = Audit.from_json(audit.to_json(tmp_path / "audit.json"))
    with pytest.raises(DataError, match="read from a file: the order needs features"):
        review_order(back, 3)


def test_the_review_is_a_table_with_ranks(audit, tmp_path) -> None:
    with write_review(audit, np.array([2, 0]), tmp_path / "review.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["review"], row["id"], row["given"], row["suggested"]) for row in found] == [
        ("1", "b", "wolf", "husky"),
        ("2", "a", "wolf", "wolf"),
    ]
