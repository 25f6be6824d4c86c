"""The loop of every method: the same bits twice, and the same bits after an interruption."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from srrs.config import Settings
from srrs.errors import ModelError
from srrs.methods import learn
from srrs.methods.spec import method
from srrs.methods.stages import LabeledBatch, Method, TunerSpec
from srrs.methods.zoo import METHODS
from srrs.records import Batch
from srrs.training import loop
from srrs.training.events import Event
from srrs.training.loop import Outcome, train
from srrs.training.schedule import Schedule
from srrs.tuners import Foundation, Head, LinearProbe, Tuner, tuner_class
from srrs.tuning import Task, make_tuners, untuned_head

SCHEDULE = Schedule(steps=8, batch=16, views=2, rate=0.1)
TOLD = {"noise_rate": 0.3}
CHOSEN = [method(name, TOLD) for name in METHODS]
STEPPED = [one.name for one in CHOSEN if one.tunes and any(tuner_class(spec.kind).steps for spec in one.tuners)]


def tuners_of(chosen: Method, task: Task) -> list[Tuner]:
    return make_tuners(chosen.tuners, task, untuned_head(task), Settings())


def run(chosen: Method | str, task: Task, *, seed: int = 1, schedule: Schedule = SCHEDULE, **options) -> Outcome:
    chosen = method(chosen, TOLD) if isinstance(chosen, str) else chosen
    return train(
        chosen, tuners_of(chosen, task), task.source, task.labels, schedule,
        zero_shot=untuned_head(task), match=task.match, seed=seed, **options,
    )  # fmt: skip


def parameters(outcome: Outcome) -> list[torch.Tensor]:
    return [value for tuner in outcome.tuners.values() for value in tuner.state_dict().values()]


def assert_same_bits(one: Outcome, other: Outcome) -> None:
    assert one.tuners.keys() == other.tuners.keys()
    assert all(torch.equal(a, b) for a, b in zip(parameters(one), parameters(other), strict=True))
    assert len(one.history) == len(other.history)
    for a, b in zip(one.history, other.history, strict=True):
        assert (a.step, a.noise) == (b.step, b.noise)
        for name in ("p_clean", "group", "target"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=f"{name} of step {a.step}")
    np.testing.assert_array_equal(one.round.quality, other.round.quality)
    np.testing.assert_array_equal(one.round.targets.soft, other.round.targets.soft)
    np.testing.assert_array_equal(one.round.matched.score, other.round.matched.score)
    assert one.predicted.keys() == other.predicted.keys()
    for name, classes in one.predicted.items():
        np.testing.assert_array_equal(classes, other.predicted[name])


class Stop(Exception):  # noqa: N818 - an interruption is no error
    """Someone pulls the plug."""


def stop_at(step: int):
    def listen(event: Event) -> None:
        if event.kind == "step" and event.step == step:
            raise Stop

    return listen


@pytest.mark.parametrize("name", ["coop", "srrs-paper"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(name: str, task: Task) -> None:
    one = run(name, task)
    assert_same_bits(one, run(name, task))
    assert not torch.equal(parameters(one)[0], parameters(run(name, task, seed=2))[0])


@pytest.mark.parametrize("name", STEPPED)
def test_an_interrupted_run_goes_on_to_the_same_bits(name: str, task: Task, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 3)
    whole = run(name, task)
    with pytest.raises(Stop):
        run(name, task, checkpoint=tmp_path / "run", fingerprint="f", listeners=[stop_at(5)])
    steps: list[int] = []
    rest = run(
        name,
        task,
        checkpoint=tmp_path / "run",
        fingerprint="f",
        listeners=[lambda event: steps.append(event.step) if event.kind == "step" else None],
    )
    assert steps == [4, 5, 6, 7, 8]  # from the last checkpoint on
    assert_same_bits(whole, rest)


def test_a_run_that_was_finished_does_not_learn_again(task: Task, tmp_path: Path) -> None:
    options = {"checkpoint": tmp_path / "run", "fingerprint": "f"}
    first = run("srrs-paper", task, **options)
    assert_same_bits(first, run("srrs-paper", task, **options, listeners=[stop_at(1)]))


def test_the_state_and_the_screenings_of_another_run_are_not_taken_over(task: Task, tmp_path: Path) -> None:
    run("srrs-paper", task, seed=5, checkpoint=tmp_path / "run", fingerprint="other")
    again = run("coop", task, checkpoint=tmp_path / "run", fingerprint="mine")
    assert_same_bits(run("coop", task), again)
    assert [snapshot.step for snapshot in again.history] == [0, 8]


def test_both_prompts_contexts_move(task: Task) -> None:
    chosen = method("srrs-paper")
    before = [tuner.layout.context.detach().clone() for tuner in tuners_of(chosen, task)]
    tuned = run(chosen, task)
    assert list(tuned.tuners) == ["macro", "micro"]
    for start, tuner in zip(before, tuned.tuners.values(), strict=True):
        moved = (tuner.layout.context.detach() - start).flatten(-2).norm(dim=-1)
        assert (moved > 0).all()  # of every class
    assert tuned.text_passes == 2 * SCHEDULE.steps


def test_an_anchor_keeps_the_tuners_near_their_start(task: Task) -> None:
    def departure(anchor: float) -> float:
        outcome = run(replace(method("coop"), anchor=anchor), task)
        return sum(float(tuner.departure().detach()) for tuner in outcome.tuners.values())

    free, held = departure(0.0), departure(1000.0)
    assert free > 0
    assert held < free / 2


def test_zero_shot_leaves_the_prompts_as_they_are(task: Task) -> None:
    chosen = method("zero-shot")
    tuned = run(chosen, task)
    assert torch.equal(tuned.tuners["macro"].layout.context, tuners_of(chosen, task)[0].layout.context)
    assert isinstance(tuned.classifier, Head)
    torch.testing.assert_close(tuned.classifier.weights, untuned_head(task).weights)
    np.testing.assert_array_equal(tuned.predicted["macro"], tuned.predicted["zero_shot"])
    assert [snapshot.step for snapshot in tuned.history] == [0]
    assert tuned.text_passes == 0


def test_a_probe_costs_no_text_pass_and_a_solved_classifier_votes_with_the_prompts(task: Task) -> None:
    assert run("coop(tuners=probe)", task).text_passes == 0
    ours, prompts = run("srrs", task), run("srrs(tuners=both)", task)
    assert (list(ours.tuners), list(prompts.tuners)) == (["macro", "micro", "residual"], ["macro", "micro"])
    assert ours.text_passes == 2 * SCHEDULE.steps
    assert torch.equal(parameters(ours)[0], parameters(prompts)[0])
    images = Batch(features=task.source.mean_view(slice(None)))
    logits = torch.stack([tuner.export()(images) for tuner in ours.tuners.values()]).mean(0)
    torch.testing.assert_close(ours.classifier(images), logits, atol=1e-4, rtol=1e-4)
    assert ours.predicted.keys() == {"macro", "micro", "residual", "zero_shot"}


def test_a_tuner_that_does_not_vote_advises_the_stages_but_classifies_nothing(task: Task) -> None:
    chosen = method("coop-two")
    silent = replace(chosen, tuners=(chosen.tuners[0], replace(chosen.tuners[1], votes=False)))
    tuned = run(silent, task)
    assert tuned.predicted.keys() == {"macro", "zero_shot"}
    assert torch.equal(tuned.classifier.weights, tuned.tuners["macro"].export().weights)


def test_learning_lowers_the_loss_of_the_labels_it_learns(task: Task) -> None:
    images, labels = Batch(features=task.source.mean_view(slice(None))), torch.from_numpy(task.labels)
    before, after = (
        torch.nn.functional.cross_entropy(
            run(name, task, schedule=replace(SCHEDULE, steps=25)).classifier(images), labels
        )
        for name in ("zero-shot", "coop")
    )
    assert after < before


def test_screenings_are_spread_over_the_steps_after_the_warm_up(task: Task) -> None:
    chosen = replace(method("srrs-paper"), warm_up=0.25, rounds=3)
    events: list[Event] = []
    tuned = run(chosen, task, listeners=[events.append])
    assert [snapshot.step for snapshot in tuned.history] == [2, 4, 6, 8]
    assert [e.step for e in events if e.kind == "step"] == list(range(1, 9))
    screenings = [e for e in events if e.kind == "screening"]
    assert [e.step for e in screenings] == [2, 4, 6, 8]
    assert screenings[-1].round is tuned.round
    assert events[-1].kind == "end"
    assert all(np.isfinite(list(e.values.values())).all() for e in events)


def test_the_history_holds_each_samples_verdict_on_disk(task: Task, tmp_path: Path) -> None:
    tuned = run("srrs-paper", task, checkpoint=tmp_path / "run", fingerprint="f")
    *_, last = tuned.history
    np.testing.assert_allclose(last.p_clean, tuned.round.partition.p_clean, atol=1e-6)
    np.testing.assert_array_equal(last.group, tuned.round.partition.group)
    np.testing.assert_array_equal(last.target, tuned.round.targets.hard)
    assert last.noise == tuned.round.noise
    files = sorted(path.name for path in (tmp_path / "run").glob("screening-*"))
    assert len(files) == len(tuned.history) > 1
    assert files[-1] == "screening-000008.safetensors"


def test_warming_up_learns_from_the_given_labels_and_later_steps_from_the_rectified(task: Task) -> None:
    seen: list[tuple[str, np.ndarray]] = []

    def spy(name: str):
        def loss(logits: torch.Tensor, batch: LabeledBatch) -> torch.Tensor:
            seen.append((name, batch.soft.numpy()))
            return -logits.log_softmax(2).mean()

        return loss

    chosen = replace(method("srrs-paper"), warm_up=0.5, rounds=1, loss=spy("later"), warm_up_loss=spy("warm"))
    chosen = replace(chosen, prepare=learn.as_given())  # nothing is mixed
    everything = replace(SCHEDULE, batch=100, views=1)
    tuned = run(chosen, task, schedule=everything)
    assert [name for name, _ in seen] == ["warm"] * 4 + ["later"] * 4
    np.testing.assert_array_equal(seen[0][1], np.eye(3)[task.labels])
    np.testing.assert_array_equal(seen[-1][1].argmax(1), next(iter(tuned.history)).target)


@pytest.mark.parametrize("views", [0, 2])
def test_a_task_with_fewer_views_than_a_step_asks_for_uses_those_it_has(task: Task, taken, views: int) -> None:
    sizes: set[int] = set()

    def loss(logits: torch.Tensor, batch: LabeledBatch) -> torch.Tensor:
        sizes.add(len(batch.soft))
        return -logits.log_softmax(2).mean()

    chosen = replace(method("coop"), loss=loss)
    run(chosen, taken(task, np.arange(24), views), schedule=Schedule(steps=2, batch=16, views=9))
    assert sizes == {16 * (1 + views)}


@pytest.mark.parametrize("name", ["coop", "srrs-paper", "srrs"])
def test_a_step_draws_the_same_batch_whatever_the_order_of_the_rows(name: str, task: Task, taken) -> None:
    order = np.random.default_rng(3).permutation(24)
    one, other = run(name, task), run(name, taken(task, order))
    for a, b in zip(parameters(one), parameters(other), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
    np.testing.assert_allclose(other.round.quality, one.round.quality[order], atol=1e-3)


def test_a_loss_that_is_not_finite_names_the_step(task: Task) -> None:
    def broken(logits: torch.Tensor, batch: LabeledBatch) -> torch.Tensor:
        return logits.mean() / 0

    with pytest.raises(ModelError, match=r"The loss is not finite in step 1 of 8\. Use a lower learning rate"):
        run(replace(method("coop"), loss=broken), task)


class Wild(LinearProbe):
    """A probe whose logits are not finite after so many batches."""

    def __init__(self, foundation: Foundation, *, calm: int):
        super().__init__(foundation)
        self.calm = calm

    def logits(self, batch: Batch) -> torch.Tensor:
        self.calm -= 1
        return super().logits(batch) / (self.calm >= 0)


def test_a_tuner_whose_logits_are_not_finite_is_named(task: Task) -> None:
    tuners = (TunerSpec("calm", "linear-probe"), TunerSpec("wild", Wild, {"calm": 2}))
    with pytest.raises(ModelError, match=r"not finite in step 3 of 8, because the logits of the tuner 'wild' are not"):
        run(replace(method("coop-two"), tuners=tuners), task)


def test_a_tuner_that_a_step_left_without_finite_parameters_is_not_screened_with(task: Task) -> None:
    with pytest.raises(ModelError, match=r"The tuner 'probe' is not finite after step 1 of 1\. Use a lower"):
        run("coop(tuners=probe)", task, schedule=Schedule(steps=1, rate=float("inf")))
