"""The loop of every method: the same bits twice, and the same bits after an interruption."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from srrs.prompts.learner import ClassLearner, zero_shot_weights
from srrs.train.task import Schedule, Task

from srrs.config import Settings
from srrs.methods.spec import method
from srrs.methods.stages import Lesson, Method
from srrs.methods.zoo import METHODS
from srrs.train import loop
from srrs.train.events import Event
from srrs.train.loop import Tuned, tune
from srrs.tuning import make_learners

SCHEDULE = Schedule(steps=8, batch=16, views=2, learning_rate=0.05)


TOLD = {"noise_rate": 0.3}


def learners(chosen: Method, task: Task) -> list[ClassLearner]:
    return make_learners(chosen, task, Settings())


def run(chosen: Method | str, task: Task, *, seed: int = 1, schedule: Schedule = SCHEDULE, **options) -> Tuned:
    chosen = method(chosen, TOLD) if isinstance(chosen, str) else chosen
    zero_shot = zero_shot_weights(task.model, task.class_names)
    return tune(chosen, task, learners(chosen, task), zero_shot, schedule, seed, **options)


def assert_same_bits(one: Tuned, other: Tuned) -> None:
    assert torch.equal(one.weights, other.weights)
    for a, b in zip(one.learners, other.learners, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert len(one.history) == len(other.history)
    for a, b in zip(one.history, other.history, strict=True):
        same = a == b  # spelled out, since pytest takes minutes to show how such lists differ
        assert same, f"the screening of step {a['step']} differs"
    np.testing.assert_array_equal(one.round.quality, other.round.quality)
    np.testing.assert_array_equal(one.round.targets.soft, other.round.targets.soft)
    np.testing.assert_array_equal(one.round.matched.score, other.round.matched.score)


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
    assert not torch.equal(one.weights, run(name, task, seed=2).weights)


@pytest.mark.parametrize("name", [name for name in METHODS if method(name, TOLD).tunes])
def test_an_interrupted_run_goes_on_to_the_same_bits(name: str, task: Task, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 3)
    checkpoint = tmp_path / "run.safetensors"
    whole = run(name, task)
    with pytest.raises(Stop):
        run(name, task, checkpoint=checkpoint, fingerprint="f", listeners=[stop_at(5)])
    steps: list[int] = []
    rest = run(
        name,
        task,
        checkpoint=checkpoint,
        fingerprint="f",
        listeners=[lambda event: steps.append(event.step) if event.kind == "step" else None],
    )
    assert steps == [4, 5, 6, 7, 8]  # from the last checkpoint on
    assert_same_bits(whole, rest)


def test_a_run_that_was_finished_does_not_learn_again(task: Task, tmp_path: Path) -> None:
    options = {"checkpoint": tmp_path / "run.safetensors", "fingerprint": "f"}
    first = run("srrs-paper", task, **options)
    assert_same_bits(first, run("srrs-paper", task, **options, listeners=[stop_at(1)]))


def test_the_state_of_another_run_is_left_alone(task: Task, tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.safetensors"
    run("coop", task, seed=5, checkpoint=checkpoint, fingerprint="other")
    assert_same_bits(run("coop", task), run("coop", task, checkpoint=checkpoint, fingerprint="mine"))


def test_both_learners_contexts_move(task: Task) -> None:
    chosen = method("srrs-paper")
    before = [learner.context.detach().clone() for learner in learners(chosen, task)]
    tuned = run(chosen, task)
    assert len(tuned.learners) == 2
    for start, learner in zip(before, tuned.learners, strict=True):
        moved = (learner.context.detach() - start).flatten(-2).norm(dim=-1)
        assert (moved > 0).all()  # of every class
    assert tuned.text_passes == 2 * SCHEDULE.steps


def test_zero_shot_leaves_the_prompts_as_they_are(task: Task) -> None:
    chosen = method("zero-shot")
    tuned = run(chosen, task)
    assert torch.equal(tuned.learners[0].context, learners(chosen, task)[0].context)
    torch.testing.assert_close(tuned.weights[0], tuned.zero_shot)
    np.testing.assert_allclose(tuned.round.evidence.probs[:, 0], tuned.round.evidence.zero_shot, atol=1e-5)
    assert [entry["step"] for entry in tuned.history] == [0]
    assert tuned.text_passes == 0


def test_a_linear_probe_costs_no_text_pass_and_votes_with_the_prompts(task: Task) -> None:
    assert run("linear-probe", task).text_passes == 0
    ours, prompts = run("srrs", task), run("srrs(voters=2)", task)
    assert (len(ours.weights), len(prompts.weights), ours.text_passes) == (3, 2, 2 * SCHEDULE.steps)
    assert torch.equal(ours.weights[:2], prompts.weights)


def test_learning_lowers_the_loss_of_the_labels_it_learns(task: Task) -> None:
    before, after = (run(name, task, schedule=replace(SCHEDULE, steps=25)) for name in ("zero-shot", "coop"))
    assert after.round.evidence.loss.mean() < before.round.evidence.loss.mean()


def test_screenings_are_spread_over_the_steps_after_the_warm_up(task: Task) -> None:
    chosen = replace(method("srrs-paper"), warm_up=0.25, rounds=3)
    events: list[Event] = []
    tuned = run(chosen, task, listeners=[events.append])
    assert [entry["step"] for entry in tuned.history] == [2, 4, 6, 8]
    assert [e.step for e in events if e.kind == "step"] == list(range(1, 9))
    screenings = [e for e in events if e.kind == "screening"]
    assert [e.step for e in screenings] == [2, 4, 6, 8]
    assert screenings[-1].round is tuned.round
    assert events[-1].kind == "end"
    assert all(np.isfinite(list(e.values.values())).all() for e in events)


def test_the_history_holds_each_samples_verdict(task: Task) -> None:
    tuned = run("srrs-paper", task)
    last = tuned.history[-1]
    np.testing.assert_allclose(last["p_clean"], tuned.round.partition.p_clean, atol=5e-5)
    assert last["group"] == tuned.round.partition.group.tolist()
    assert last["target"] == tuned.round.targets.hard.tolist()
    noise = tuned.round.noise
    assert last["noise"] == [noise.rate, noise.low, noise.high]


def test_warming_up_learns_from_the_given_labels_and_later_steps_from_the_rectified(task: Task) -> None:
    seen: list[tuple[str, np.ndarray]] = []

    def spy(name: str):
        def loss(logits: torch.Tensor, lesson: Lesson) -> torch.Tensor:
            seen.append((name, lesson.soft.numpy()))
            return -logits.log_softmax(2).mean()

        return loss

    chosen = replace(method("srrs-paper"), warm_up=0.5, rounds=1, loss=spy("later"), warm_up_loss=spy("warm"))
    everything = replace(SCHEDULE, batch=100, views=1)
    tuned = run(chosen, task, schedule=everything)
    assert [name for name, _ in seen] == ["warm"] * 4 + ["later"] * 4
    np.testing.assert_array_equal(seen[0][1], np.eye(3)[task.labels])
    np.testing.assert_array_equal(seen[-1][1].argmax(1), tuned.history[0]["target"])


@pytest.mark.parametrize("views", [0, 2])
def test_a_task_with_fewer_views_than_a_step_asks_for_uses_those_it_has(task: Task, views: int) -> None:
    few = replace(task, views=task.views[:, :views])
    sizes: set[int] = set()

    def loss(logits: torch.Tensor, lesson: Lesson) -> torch.Tensor:
        sizes.add(len(lesson.soft))
        return -logits.log_softmax(2).mean()

    chosen = replace(method("coop"), loss=loss)
    run(chosen, few, schedule=Schedule(steps=2, batch=16, views=9))
    assert sizes == {16 * (1 + views)}


def test_a_step_draws_the_same_samples_whatever_the_order_of_the_rows(task: Task) -> None:
    order = np.random.default_rng(3).permutation(24)
    shuffled = replace(
        task,
        ids=tuple(task.ids[i] for i in order),
        labels=task.labels[order],
        plain=task.plain[order],
        views=task.views[order],
    )
    one, other = run("coop", task), run("coop", shuffled)
    torch.testing.assert_close(one.weights, other.weights, atol=1e-4, rtol=0)
    np.testing.assert_allclose(other.round.quality, one.round.quality[order], atol=1e-3)
