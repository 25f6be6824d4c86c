"""The loop every method shares: warm up, then screen, rectify, re-screen and learn, on cached features.

A step costs one text pass per learner whatever the batch, so the batch is large and the budget is counted in steps.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from srrs.core.allocation import freed_memory_kept
from srrs.core.keyed import uniforms
from srrs.core.labels import one_hot
from srrs.methods.stages import Lesson, Memory, Method, one_round
from srrs.prompts.learner import ClassLearner
from srrs.records import Floats, Group, Round
from srrs.train.events import Event, Listener
from srrs.train.evidence import gather, zero_shot_probs
from srrs.train.state import State, arrays_of, load, optimiser_tensors, restore_optimiser, save, tensors_of
from srrs.train.task import Schedule, Task

ORDER, VIEW, MIX = 11, 12, 13  # purposes of keyed draws
CHECKPOINT_EVERY = 10  # steps


@dataclass(frozen=True)
class Tuned:
    """What tuning leaves: the learners, their class weights, and the last round, which is the audit."""

    learners: tuple[ClassLearner, ...]
    weights: Tensor
    """(voters, C, D) class weights of the learners that classify; their logits are averaged."""
    zero_shot: Tensor
    """(C, D) class weights of the untuned class prompt."""
    round: Round
    history: list[dict[str, object]] = field(default_factory=list)
    """One entry per screening: step, noise estimate, and per sample p_clean, group and hard target."""
    text_passes: int = 0


@dataclass
class _Run:
    """What changes from step to step."""

    step: int
    memory: Memory
    lesson: dict[str, np.ndarray]


def tune(
    method: Method,
    task: Task,
    learners: Sequence[ClassLearner],
    zero_shot: Tensor,
    schedule: Schedule,
    seed: int,
    *,
    checkpoint: Path | None = None,
    fingerprint: str = "",
    listeners: Sequence[Listener] = (),
) -> Tuned:
    """Tune the learners on the task, and audit its labels.

    `zero_shot` (C, D) are the untuned class weights. With a `checkpoint` path the run saves its state there and goes on
    from it; `fingerprint` must change with anything that changes the run. Bit-for-bit the same for the same seed.
    """
    with freed_memory_kept():
        return _Loop(method, task, learners, zero_shot, schedule, seed, listeners).run(checkpoint, fingerprint)


class _Loop:
    def __init__(
        self,
        method: Method,
        task: Task,
        learners: Sequence[ClassLearner],
        zero_shot: Tensor,
        schedule: Schedule,
        seed: int,
        listeners: Sequence[Listener],
    ):
        self.method, self.task, self.schedule, self.seed = method, task, schedule, seed
        self.learners = tuple(learners)
        self.trainable = torch.nn.ModuleList(learners)  # names the parameters of all learners together
        self.zero_shot, self.listeners = zero_shot, listeners
        self.steps = schedule.steps if method.tunes else 0
        warm = round(method.warm_up * self.steps)
        rounds = max(1, method.rounds)
        self.warm_up_steps = warm
        self.screenings = {warm + i * (self.steps - warm) // rounds for i in range(rounds)} if self.steps else set()
        self.optimiser = torch.optim.SGD(self.trainable.parameters(), lr=schedule.learning_rate, momentum=0.9)
        self.history: list[dict[str, object]] = []

    def run(self, checkpoint: Path | None, fingerprint: str) -> Tuned:
        run = self._resume(checkpoint, fingerprint)
        for step in range(run.step, self.steps):
            if step in self.screenings:
                self._screen(run, step)
            self._learn(run, step)
            run.step = step + 1
            if checkpoint and (run.step % CHECKPOINT_EVERY == 0 or run.step == self.steps):
                self._save(run, checkpoint, fingerprint)
        last = self._screen(run, self.steps)
        self._tell(Event("end", self.steps, self.steps))
        passes = self.steps * sum(learner.reads_text for learner in self.learners)
        return Tuned(self.learners, self._weights()[: self.method.voters], self.zero_shot, last, self.history, passes)

    @cached_property
    def _untuned(self) -> Floats:
        """(N, C) predictions of the untuned class weights, which no step changes."""
        return zero_shot_probs(self.task, self.zero_shot)

    @torch.no_grad()
    def _weights(self) -> Tensor:
        return torch.stack([learner.class_weights(self.task.model) for learner in self.learners])

    def _screen(self, run: _Run, step: int) -> Round:
        evidence = gather(self.task, self._weights(), self._untuned, self.method.voters)
        outcome, run.memory = one_round(self.method, evidence, run.memory)
        run.lesson = {
            "soft": np.asarray(outcome.targets.soft, dtype=np.float32),
            "weight": np.asarray(outcome.targets.weight, dtype=np.float32),
            "group": np.asarray(outcome.partition.group),
            "is_match": np.asarray(outcome.matched.is_match),
        }
        noise = outcome.noise
        self.history.append(
            {
                "step": step,
                "noise": [noise.rate, noise.low, noise.high],
                "p_clean": np.round(outcome.partition.p_clean, 4).tolist(),
                "group": outcome.partition.group.tolist(),
                "target": outcome.targets.hard.tolist(),
            }
        )
        self._tell(Event("screening", step, self.steps, {"noise": noise.rate}, outcome))
        return outcome

    def _learn(self, run: _Run, step: int) -> None:
        warming = step < self.warm_up_steps
        lesson = self._draw(run, step)
        generator = np.random.default_rng([self.seed, MIX, step])
        if not warming:
            lesson = self.method.prepare(lesson, generator)
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate(step)
        self.optimiser.zero_grad()
        scale = self.task.model.logit_scale
        weights = [learner.class_weights(self.task.model) for learner in self.learners]
        logits = torch.stack([scale * lesson.features @ w.T for w in weights]).float()
        objective = self.method.warm_up_loss if warming else self.method.loss
        loss = objective(logits, lesson)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self._tell(Event("step", step + 1, self.steps, {"loss": float(loss.detach())}))

    def _draw(self, run: _Run, step: int) -> Lesson:
        """What a step teaches: some rows, some views of each. Keyed by content, not by position."""
        keys, n = self.task.keys, len(self.task.labels)
        batch = min(self.schedule.batch, n)
        rows = np.sort(np.argsort(uniforms(keys, self.seed, ORDER, step), kind="stable")[:batch])
        available = 1 + self.task.views.shape[1]
        count = min(self.schedule.views, available)
        draws = np.stack([uniforms(keys[rows], self.seed, VIEW, step, v) for v in range(available)], axis=1)
        views = np.argsort(draws, axis=1, kind="stable")[:, :count]
        device = self.task.model.device
        chosen = self.task.views_of(rows, views)
        teach = run.lesson or self._given()

        def repeated(name: str) -> Tensor:
            return torch.from_numpy(teach[name][rows]).to(device).repeat_interleave(count, 0)

        parts = {name: repeated(name) for name in ("soft", "weight", "group", "is_match")}
        return Lesson(chosen.flatten(0, 1), **parts)

    def _given(self) -> dict[str, np.ndarray]:
        """What warm-up learns from: the given labels."""
        n = len(self.task.labels)
        soft = one_hot(np.asarray(self.task.labels), len(self.task.class_names)).astype(np.float32)
        return {
            "soft": soft,
            "weight": np.ones(n, np.float32),
            "group": np.full(n, Group.CLEAN, dtype=np.int8),
            "is_match": np.ones(n, dtype=bool),
        }

    def _learning_rate(self, step: int) -> float:
        if step < max(1, round(0.02 * self.steps)):
            return self.schedule.warm_up_rate
        return self.schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))

    def _tell(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)

    def _save(self, run: _Run, path: Path, fingerprint: str) -> None:
        state = State(
            step=run.step,
            learners=dict(self.trainable.named_parameters()),
            optimiser=optimiser_tensors(self.optimiser),
            memory=tensors_of(run.memory),
            lesson=tensors_of(run.lesson),
            history=self.history,
        )
        save(state, path, fingerprint)

    @torch.no_grad()
    def _resume(self, path: Path | None, fingerprint: str) -> _Run:
        state = load(path, fingerprint) if path else None
        if state is None:
            return _Run(0, {}, {})
        for name, parameter in self.trainable.named_parameters():
            parameter.copy_(state.learners[name])
        restore_optimiser(self.optimiser, state.optimiser)
        self.history = list(state.history)
        return _Run(state.step, arrays_of(state.memory), arrays_of(state.lesson))
