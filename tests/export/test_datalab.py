"""The columns of cleanlab's Datalab, compared with those that the installed cleanlab makes."""

import csv

import numpy as np
import pandas as pd

from audits import hand_audit
from srrs.export.datalab import datalab_issues, write_datalab

ROWS = [
    {"id": "2", "given": "dog", "suggested": "cat", "quality": 0.1},
    {"id": "1", "given": "cat", "suggested": "cat", "quality": 0.9, "status": "clean"},
    {"id": "é,\n", "given": "nan", "suggested": "dog", "quality": 0.5, "status": "ambiguous"},
    {"id": "0", "given": "cat", "suggested": "dog", "quality": 0.2, "status": "outside"},
    {"id": "4", "given": "dog", "status": "unusable", "issue": "empty file"},
]
NAMES = ("cat", "dog", "nan")


def cleanlabs_issues() -> pd.DataFrame:
    """What Datalab's manager of label issues takes from cleanlab, its quality named as the manager names it."""
    from cleanlab.classification import CleanLearning
    from cleanlab.datalab.internal.issue_manager.label import LabelIssueManager

    labels = np.repeat([0, 1, 2], 20)
    probs = np.full((60, 3), 0.1) + 0.7 * np.eye(3)[labels]
    issues = CleanLearning(seed=0, find_label_issues_kwargs={"n_jobs": 1}).find_label_issues(
        labels=labels, pred_probs=probs
    )
    assert (LabelIssueManager.issue_name, LabelIssueManager.issue_score_key) == ("label", "label_score")
    return issues.rename(columns={"label_quality": LabelIssueManager.issue_score_key})


def test_the_columns_are_those_of_datalab() -> None:
    theirs, ours = cleanlabs_issues(), datalab_issues(hand_audit(ROWS, NAMES))
    assert set(ours.columns) == set(theirs.columns)
    assert ours.columns.tolist() == ["is_label_issue", "label_score", "given_label", "predicted_label"]
    for name in ("is_label_issue", "label_score"):
        assert ours[name].dtype == theirs[name].dtype


def test_a_wrong_label_is_an_issue_and_a_low_score_is_worse() -> None:
    issues = datalab_issues(hand_audit(ROWS, NAMES))
    assert issues.index.tolist() == ["2", "1", "é,\n", "0", "4"]
    assert issues.is_label_issue.tolist() == [True, False, False, True, False]
    assert issues.label_score.tolist()[:4] == [0.1, 0.9, 0.5, 0.2]
    assert np.isnan(issues.label_score["4"])
    assert issues.predicted_label["4"] is None


def test_the_csv_has_every_row_in_order(tmp_path) -> None:
    with write_datalab(hand_audit(ROWS, NAMES), tmp_path / "issues.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["id"] for row in found] == ["2", "1", "é,\n", "0", "4"]
    assert [row["given_label"] for row in found] == ["dog", "cat", "nan", "cat", "dog"]
    assert [row["is_label_issue"] for row in found] == ["True", "False", "False", "True", "False"]
    assert found[4]["label_score"] == found[4]["predicted_label"] == ""
