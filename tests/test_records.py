from dataclasses import replace

import numpy as np
import pytest

from srrs.records import Evidence, Group, Matched, NoiseEstimate, Partition, Round, Targets, Thresholds

NOISE = NoiseEstimate(0.2, 0.1, 0.3)


def evidence(n: int = 4) -> Evidence:
    return Evidence(
        keys=np.arange(n, dtype=np.uint64),
        labels=np.zeros(n, int),
        classes=3,
        logits={"macro": np.zeros((n, 3)), "adviser": np.zeros((n, 3))},
        voters=("macro",),
        zero_shot=np.full((n, 3), 1 / 3),
        features=np.eye(n, 5),
    )


def partition(n: int = 4) -> Partition:
    return Partition(np.zeros(n, int), np.ones(n), NOISE)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("labels", np.zeros(3, int), r"labels must have shape \(4,\), but has \(3,\)"),
        ("logits", {"macro": np.ones((4, 2))}, r"logits\['macro'\] must have shape \(4, 3\), but has \(4, 2\)"),
        ("voters", ("macro", "micro"), r"voters must have logits, but \['micro'\] have none"),
        ("zero_shot", np.ones((4, 2)), r"zero_shot must have shape \(4, 3\)"),
        ("features", np.ones(4), r"features must have shape \(4, 'any'\), but has \(4,\)"),
    ],
)
def test_evidence_that_does_not_fit_together_names_the_field(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(evidence(), **{field: value})


def test_evidence_needs_keys_labels_and_the_number_of_classes_alone() -> None:
    bare = Evidence(keys=np.arange(2, dtype=np.uint64), labels=np.zeros(2, int), classes=3)
    assert (bare.logits, bare.voters, bare.zero_shot, bare.features, bare.match) == ({}, (), None, None, None)


def test_a_partition_must_be_finite_and_its_thresholds_cut_its_samples() -> None:
    with pytest.raises(ValueError, match=r"p_clean must be finite, but is not in rows \[2\]"):
        replace(partition(), p_clean=np.array([1, 1, np.nan, 1]))
    with pytest.raises(ValueError, match=r"upper must have shape \(1,\)"):
        Thresholds("loss", np.zeros(1), np.zeros(2), np.zeros(4))
    with pytest.raises(ValueError, match=r"thresholds.values must have shape \(4,\)"):
        replace(partition(), thresholds=Thresholds("loss", np.zeros(1), np.zeros(1), np.zeros(3)))


def test_rows_of_targets_must_sum_to_one() -> None:
    with pytest.raises(ValueError, match="every row of soft must sum to 1"):
        Targets(np.array([[0.5, 0.4]]), np.ones(1))
    with pytest.raises(ValueError, match="soft must be finite"):
        Targets(np.array([[np.nan, 1.0]]), np.ones(1))
    with pytest.raises(ValueError, match=r"weight must have shape \(1,\)"):
        Targets(np.array([[0.5, 0.5]]), np.ones(2))


def test_the_hard_target_is_the_most_probable_class() -> None:
    assert Targets(np.array([[0.2, 0.8], [0.6, 0.4]]), np.ones(2)).hard.tolist() == [1, 0]


def test_a_round_is_of_one_length_and_passes_on_the_noise() -> None:
    parts = {
        "evidence": evidence(),
        "partition": partition(),
        "targets": Targets(np.eye(3)[[0, 1, 2, 0]], np.ones(4)),
        "matched": Matched(np.ones(4, bool), np.full(4, np.nan)),
        "quality": np.ones(4),
    }
    assert Round(**parts).noise is NOISE
    with pytest.raises(ValueError, match="partition has 3 rows, but the evidence has 4"):
        Round(**parts | {"partition": partition(3)})
    with pytest.raises(ValueError, match="quality has 5 rows"):
        Round(**parts | {"quality": np.ones(5)})


def test_records_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        partition().p_clean = np.zeros(4)  # type: ignore[misc]


def test_groups_are_numbered_from_clean_to_outside() -> None:
    assert [group.name for group in sorted(Group)] == ["CLEAN", "AMBIGUOUS", "NOISY", "OUTSIDE"]
