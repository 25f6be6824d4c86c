"""`train` on plain arrays, without a text tower, files or settings: repeatable, resumable and in any order of rows."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from srrs.core.keyed import chosen
from srrs.features.cached import CachedFeatures
from srrs.methods.spec import method
from srrs.methods.stages import PROBE, LabeledBatch, Method, TunerSpec
from srrs.records import Batch, Features, Group
from srrs.training import loop
from srrs.training.events import Event
from srrs.training.loop import ORDER, Outcome, train
from srrs.training.schedule import Schedule
from srrs.tuners import Foundation, Head, LinearProbe, Tuner, build

N, C, D = 60, 4, 16
TUNERS = "[linear_probe,task_residual]"
SCHEDULE = Schedule(steps=9, batch=24, views=2)


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    """Features of four clusters with an augmented view, class vectors, labels of which a fifth is wrong, and keys."""
    generator = np.random.default_rng(0)
    vectors = np.linalg.qr(generator.standard_normal((D, D)))[0][:C]
    shown = np.arange(N) % C
    views = vectors[shown][:, None] + 0.15 * generator.standard_normal((N, 2, D))
    views = (views / np.linalg.norm(views, axis=2, keepdims=True)).astype(np.float16)
    return {
        "views": views,
        "labels": np.where(np.arange(N) % 5 == 0, (shown + 1) % C, shown),
        "keys": generator.integers(0, 2**64, N, dtype=np.uint64),
        "vectors": torch.from_numpy(vectors.astype(np.float32)),
    }


def built(chosen: Method, vectors: Tensor) -> list[Tuner]:
    return [
        build(
            spec.kind,
            Foundation(
                tuple("abcd"), D, 20.0, torch.device("cpu"), class_vectors=vectors,
                generator=torch.Generator().manual_seed(at),
            ),
            spec.options,
        )
        for at, spec in enumerate(chosen.tuners)
    ]  # fmt: skip


def run(text: str | Method, arrays: dict[str, Any], rows: np.ndarray | None = None, **options: Any) -> Outcome:
    """Tune a method's tuners on some rows of the arrays."""
    chosen = text if isinstance(text, Method) else method(text, {"noise_rate": 0.2})
    rows = np.arange(N) if rows is None else rows
    source = CachedFeatures(Features(arrays["views"][:, 0], arrays["views"][:, 1:], rows), arrays["keys"][rows])
    options = {"schedule": SCHEDULE, "tuners": built(chosen, arrays["vectors"]), "seed": 3} | options
    zero_shot = Head(arrays["vectors"], 20.0)
    return train(chosen, source=source, labels=arrays["labels"][rows], zero_shot=zero_shot, **options)


def assert_same_bits(one: Outcome, other: Outcome) -> None:
    for name, tuner in one.tuners.items():
        state = other.tuners[name].state_dict()
        assert all(torch.equal(value, state[key]) for key, value in tuner.state_dict().items()), name
    assert [snapshot.step for snapshot in one.history] == [snapshot.step for snapshot in other.history]
    for a, b in zip(one.history, other.history, strict=True):
        assert a.noise == b.noise
        for field in ("p_clean", "group", "target"):
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
    np.testing.assert_array_equal(one.round.quality, other.round.quality)
    for name in one.predicted:
        np.testing.assert_array_equal(one.predicted[name], other.predicted[name])


METHODS = [f"srrs(tuners={TUNERS})", f"srrs-paper(tuners={TUNERS},rescreen=accept_all)", "coop(tuners=probe)"]


@pytest.mark.parametrize("text", METHODS)
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(text: str, arrays) -> None:
    one = run(text, arrays)
    assert_same_bits(one, run(text, arrays))
    (first, *_), (other, *_) = one.tuners.values(), run(text, arrays, seed=4).tuners.values()
    assert not torch.equal(first.weight, other.weight)


class Stop(Exception):  # noqa: N818 - an interruption is no error
    """Someone pulls the plug."""


def stop_at(step: int):
    def listen(event: Event) -> None:
        if (event.kind, event.step) == ("step", step):
            raise Stop

    return listen


@pytest.mark.parametrize("killed", [2, 5, 9])
def test_a_killed_run_goes_on_to_the_same_bits_and_the_same_screenings(
    killed: int, arrays, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 2)
    chosen = replace(method(METHODS[1]), warm_up=0.2, rounds=4)
    whole = run(chosen, arrays)
    options = {"checkpoint": tmp_path / "run", "fingerprint": "f"}
    with pytest.raises(Stop):
        run(chosen, arrays, **options, listeners=[stop_at(killed)])
    rest = run(chosen, arrays, **options)
    assert_same_bits(whole, rest)
    assert len(rest.history) == 5
    assert len(list((tmp_path / "run").glob("screening-*.safetensors"))) == 5


class Dropped(LinearProbe):
    """A linear probe with dropout and a count of its batches, drawn from and kept outside its parameters."""

    def __init__(self, foundation: Foundation):
        super().__init__(foundation)
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def logits(self, batch: Batch) -> Tensor:
        if self.training:
            self.batches += 1
            batch = Batch(features=torch.nn.functional.dropout(batch.features, 0.3))
        return super().logits(batch) * (1 + 0.1 * self.batches)

    def export(self) -> Any:
        return Tuner.export(self)


def test_dropout_and_buffers_of_a_tuner_survive_a_kill_and_leave_the_callers_random_numbers_alone(
    arrays, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 2)
    chosen = replace(method("coop(tuners=probe)"), tuners=(TunerSpec("dropped", Dropped),))
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    whole = run(chosen, arrays)
    assert torch.equal(torch.rand(3), expected)
    with pytest.raises(Stop):
        run(chosen, arrays, checkpoint=tmp_path, fingerprint="f", listeners=[stop_at(5)])
    rest = run(chosen, arrays, checkpoint=tmp_path, fingerprint="f")
    assert int(rest.tuners["dropped"].batches) == SCHEDULE.steps
    assert_same_bits(whole, rest)


@pytest.mark.parametrize("text", METHODS)
def test_permuting_rows_permutes_the_result(text: str, arrays) -> None:
    order = np.random.default_rng(5).permutation(N)
    one, other = run(text, arrays), run(text, arrays, order)
    for name, tuner in one.tuners.items():
        torch.testing.assert_close(tuner.export().weights, other.tuners[name].export().weights, atol=1e-5, rtol=1e-5)
        np.testing.assert_array_equal(one.predicted[name][order], other.predicted[name])
    np.testing.assert_array_equal(one.round.partition.group[order], other.round.partition.group)
    np.testing.assert_allclose(one.round.partition.p_clean[order], other.round.partition.p_clean, atol=1e-5)
    for a, b in zip(one.history, other.history, strict=True):
        np.testing.assert_array_equal(a.target[order], b.target)


def test_a_step_holds_the_chosen_rows_in_the_order_of_their_keys(arrays) -> None:
    seen: list[LabeledBatch] = []

    def spy(logits: Tensor, batch: LabeledBatch) -> Tensor:
        seen.append(batch)
        return logits.log_softmax(2).mean()

    chosen_method = replace(method("coop(tuners=probe)"), loss=spy, warm_up_loss=spy)
    run(chosen_method, arrays, schedule=Schedule(steps=2, batch=10, views=1))
    run(chosen_method, arrays, np.arange(N)[::-1], schedule=Schedule(steps=2, batch=10, views=1))
    forwards, backwards = seen[:2], seen[2:]
    for step, (one, other) in enumerate(zip(forwards, backwards, strict=True)):
        rows = chosen(arrays["keys"], 10, 3, ORDER, step)
        rows = rows[np.argsort(arrays["keys"][rows])]
        np.testing.assert_array_equal(one.soft.argmax(1), arrays["labels"][rows])
        assert torch.equal(one.inputs.features, other.inputs.features)
        assert torch.equal(one.soft, other.soft)


def test_an_audit_needs_no_tuners_where_no_stage_reads_their_logits(arrays) -> None:
    events: list[str] = []
    found = run(METHODS[0], arrays, tuners=[], listeners=[lambda event: events.append(event.kind)])
    assert events == ["screening", "end"]
    assert (found.tuners, found.classifier, found.text_passes) == ({}, None, 0)
    assert found.predicted.keys() == {"zero_shot"}
    tuned = run(METHODS[0], arrays)
    np.testing.assert_array_equal(found.round.quality, tuned.round.quality)
    wrong = np.arange(N) % 5 == 0
    noisy = found.round.partition.group != Group.CLEAN
    assert noisy[wrong].mean() > 0.7 > 0.2 > noisy[~wrong].mean()


def test_zero_shot_may_be_given_as_probabilities(arrays) -> None:
    plain = arrays["views"].astype(np.float32).mean(1)
    probs = (torch.from_numpy(plain) @ (20.0 * arrays["vectors"]).T).softmax(1).numpy()
    source = CachedFeatures(Features(arrays["views"][:, 0], arrays["views"][:, 1:]), arrays["keys"])
    found = train(method(METHODS[0]), [], source, arrays["labels"], zero_shot=probs)
    np.testing.assert_array_equal(found.predicted["zero_shot"], probs.argmax(1))
    expected = run(METHODS[0], arrays, tuners=[])
    np.testing.assert_allclose(found.round.quality, expected.round.quality, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        (METHODS[0], {"tuners": [None]}, "expected a tuner for each of linear_probe, task_residual, but got 1"),
        (replace(method("coop"), tuners=(PROBE, PROBE)), {}, "a name of its own for each tuner"),
        (METHODS[1], {"tuners": []}, "reads the logits of its tuners .linear_probe, task_residual.: give them"),
        (METHODS[2], {"classes": 3}, r"expected labels in 0\.\.2, but they run from 0 to 3"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(text: str | Method, changes, message: str, arrays) -> None:
    with pytest.raises(ValueError, match=message):
        run(text, arrays, **changes, listeners=[stop_at(1)])


def test_labels_and_evidence_that_are_missing_are_named(arrays) -> None:
    source = CachedFeatures(Features(arrays["views"][:, 0], arrays["views"][:, 1:]), arrays["keys"])
    with pytest.raises(ValueError, match="expected a label for each of 60 samples, but got 59"):
        train(method("coop(tuners=probe)"), [], source, arrays["labels"][:-1])
    paper = method("srrs-paper(tuners=linear_probe,rescreen=matcher)")
    needy = replace(paper, screen=method("lemon").screen)
    with pytest.raises(ValueError, match="the method 'lemon' reads class_vectors: give zero_shot as a Head"):
        train(replace(needy, name="lemon"), built(paper, arrays["vectors"]), source, arrays["labels"])


def test_a_learning_rate_scales_each_tuners_own(arrays) -> None:
    steps: dict[float, Tensor] = {}
    for rate in (0.5, 1.0):
        outcome = run("coop(tuners=probe)", arrays, schedule=Schedule(steps=1, batch=100, views=9, rate=rate))
        steps[rate] = outcome.tuners["probe"].weight.detach()
    torch.testing.assert_close(steps[1.0], 2 * steps[0.5])
