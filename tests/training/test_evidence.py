"""Evidence against plain numpy."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from srrs.core import blocks, many
from srrs.records import Batch
from srrs.training import evidence
from srrs.training.evidence import Question, gather, logits_of, predicted_classes
from srrs.tuners import Head
from srrs.tuning import Task

EVERYTHING = frozenset({"logits", "zero_shot", "features", "class_vectors", "match"})


def heads(task: Task, count: int = 2, seed: int = 0) -> dict[str, Head]:
    """Linear classifiers of any scale, one of them with a bias."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: Head(torch.randn(3, task.source.feature_size, generator=generator), 5.0 + number, bias)
        for number, (name, bias) in enumerate([("macro", None), ("probe", torch.tensor([0.5, 0.0, -1.0]))][:count])
    }


def every_view(task: Task) -> np.ndarray:
    """(N, 1 + V, D)"""
    plain, views = task.source.features.rows(slice(None))
    return np.concatenate([plain[:, None], views], 1)


def zero_shot(task: Task) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.ones(3), len(task.labels))


def question(task: Task, untuned=None) -> Question:
    return Question(task.source, task.labels, 3, untuned, task.match)


def bent(batch: Batch) -> torch.Tensor:
    """A classifier that is not linear: the absolute values of three features."""
    return 3 * batch.features[:, :3].abs()


def test_logits_average_those_of_all_views(task: Task) -> None:
    tuned = heads(task)
    found = gather(question(task), tuned, ("probe",), zero_shot(task), EVERYTHING)
    assert list(found.logits) == ["macro", "probe"]
    assert (found.voters, found.classes) == (("probe",), 3)
    for name, head in tuned.items():
        each = head.scale * np.einsum("nvd,cd->nvc", every_view(task), head.weights.numpy())
        bias = 0 if head.bias is None else head.bias.numpy()
        np.testing.assert_allclose(found.logits[name], each.mean(1) + bias, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found.features, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(found.keys, task.source.keys)
    np.testing.assert_array_equal(found.labels, task.labels)
    np.testing.assert_array_equal(found.zero_shot, zero_shot(task))
    assert found.match is task.match


@pytest.mark.parametrize("field", sorted(EVERYTHING))
def test_what_no_stage_reads_is_not_gathered(task: Task, field: str) -> None:
    asked = question(task, heads(task)["macro"])
    found = gather(asked, heads(task), ("macro",), zero_shot(task), EVERYTHING - {field})
    there = {"logits": bool(found.logits), "match": callable(found.match)}
    there |= {name: getattr(found, name) is not None for name in ("zero_shot", "features", "class_vectors")}
    assert there == {name: name != field for name in EVERYTHING}
    assert found.voters == (() if field == "logits" else ("macro",))


def test_a_classifier_that_is_not_linear_reads_every_view(task: Task, monkeypatch) -> None:
    expected = 3 * np.abs(every_view(task)[..., :3]).mean(1)
    for rows in (1, 7, 24):
        monkeypatch.setattr(evidence, "AT_ONCE", rows)
        np.testing.assert_allclose(logits_of(bent, task.source)(slice(None)), expected, atol=1e-6)
        np.testing.assert_allclose(logits_of(bent, task.source)(slice(5, 9)), expected[5:9], atol=1e-6)


def test_the_untuned_probabilities_are_those_of_the_mean_logits_or_the_given_ones(task: Task) -> None:
    head = heads(task)["macro"]
    logits = head.scale * every_view(task).mean(1) @ head.weights.numpy().T
    np.testing.assert_allclose(question(task, head).untuned(), softmax(logits, axis=1), atol=1e-5)
    given = zero_shot(task)
    assert question(task, given).untuned() is given
    assert question(task).untuned() is None


def test_class_vectors_are_the_directions_of_a_linear_untuned_classifier(task: Task) -> None:
    head = heads(task)["macro"]
    length = head.weights.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(question(task, head).class_vectors(), head.weights / length, atol=1e-6)
    assert question(task, zero_shot(task)).class_vectors() is None


def test_each_classifier_predicts_its_most_probable_class(task: Task) -> None:
    tuned = heads(task) | {"bent": bent}
    found = predicted_classes(tuned, task.source)
    assert list(found) == ["macro", "probe", "bent"]
    for name, classifier in tuned.items():
        logits = logits_of(classifier, task.source)(slice(None)).numpy()
        np.testing.assert_array_equal(found[name], logits.argmax(1))
    assert predicted_classes({}, task.source) == {}


def test_permuting_samples_permutes_the_evidence(task: Task, taken) -> None:
    order = np.random.default_rng(1).permutation(24)
    found = gather(question(task), heads(task), ("macro",), zero_shot(task), EVERYTHING)
    moved = gather(question(taken(task, order)), heads(task), ("macro",), zero_shot(task)[order], EVERYTHING)
    np.testing.assert_array_equal(moved.keys, found.keys[order])
    np.testing.assert_allclose(moved.features, found.features[order], atol=1e-6)
    for name in found.logits:
        np.testing.assert_allclose(moved.logits[name], found.logits[name][order], atol=1e-4)
    rows, classes = np.array([0, 5]), np.array([2, 1])
    np.testing.assert_array_equal(moved.match(rows, classes), found.match(order[rows], classes))


@pytest.mark.parametrize("views", [0, 2])
def test_evidence_gathered_in_blocks_is_that_gathered_at_once(task: Task, taken, monkeypatch, views: int) -> None:
    some = taken(task, np.arange(24), views)
    tuned = heads(some) | {"bent": bent}
    at_once = gather(question(some), tuned, ("macro",), zero_shot(task), EVERYTHING)
    untuned = question(some, tuned["macro"]).untuned()
    monkeypatch.setattr(blocks, "WHOLE", 10)
    monkeypatch.setattr(blocks, "ROWS", 7)
    many = taken(some, np.arange(24))  # without what the first kept
    found = gather(question(many), tuned, ("macro",), zero_shot(task), EVERYTHING)
    for name in tuned:
        np.testing.assert_allclose(found.logits[name], at_once.logits[name], atol=1e-5)
    np.testing.assert_allclose(found.features, at_once.features, atol=1e-3)
    np.testing.assert_allclose(question(many, tuned["macro"]).untuned(), untuned, atol=1e-6)
    assert predicted_classes(tuned, many.source)["bent"].tolist() == at_once.logits["bent"].argmax(1).tolist()


def test_probabilities_of_very_many_are_computed_when_they_are_read(task: Task, monkeypatch) -> None:
    head = heads(task)["macro"]
    whole = question(task, head).untuned()
    monkeypatch.setattr(many, "ENTRIES", len(task.labels))
    computed = question(task, head).untuned()
    assert isinstance(computed, many.ComputedRows)
    np.testing.assert_allclose(computed[np.array([3, 0])], whole[[3, 0]], atol=1e-6)
    np.testing.assert_allclose(np.asarray(computed), whole, atol=1e-6)
