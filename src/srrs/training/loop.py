"""The training loop of all methods: a warm-up, then rounds of screening, rectifying and re-screening between the steps.

A step of a prompt tuner takes one text pass, whatever the size of the batch. Therefore the batch is large, and the
length of a run is counted in steps. N samples, n samples of a batch, B rows of a batch (pairs of a sample and a view),
C classes, D feature size.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from srrs.core.blocks import blocks
from srrs.core.keyed import chosen, uniforms
from srrs.core.labels import one_hot
from srrs.errors import ModelError
from srrs.features.source import ViewSource
from srrs.methods.stages import LabeledBatch, Memory, Method, one_round
from srrs.records import Floats, Group, Ints, MatchScores, Round
from srrs.training.events import Event, Listener
from srrs.training.evidence import Question, gather, predicted_classes
from srrs.training.history import History
from srrs.training.schedule import Schedule
from srrs.training.state import State, arrays_of, load, optimizer_tensors, restore_optimizer, save, tensors_of
from srrs.tuners.base import Classifier, Tuner, average

ORDER, VIEW, MIX, TORCH = 11, 12, 13, 14  # numbers by which draws for different purposes differ
CHECKPOINT_EVERY = 10  # steps
MOMENTUM = 0.9
"""Momentum of gradient descent."""
SOLVED_ROWS = 50_000
"""Largest number of samples to which a tuner without steps is fitted."""
REMEDY = "Use a lower learning rate (--set learning_rate=0.1), or full precision (--set precision=fp32)."
"""End of the error message for numbers that are not finite."""


@dataclass(frozen=True)
class Outcome:
    """The result of a run: the tuners, their joint classifier, and the last round, from which the audit is made."""

    tuners: Mapping[str, Tuner]
    """The tuners by name, in the order of the method."""
    classifier: Classifier | None
    """The mean of the voters' logits. It is a `Head` if all voters are linear, and None if nothing is tuned."""
    round: Round
    """The records of the last round."""
    predicted: Mapping[str, Ints] = field(default_factory=dict)
    """The predicted classes (N,) of each voter, by its name, and of the untuned classifier, by the name `zero_shot`."""
    history: History = field(default_factory=History)
    """One snapshot per screening."""
    text_passes: int = 0
    """Number of text passes in all steps."""


@dataclass
class _Run:
    """The values that change from step to step."""

    step: int
    """Number of the next step."""
    memory: Memory
    """The memory of the stages."""
    lesson: dict[str, np.ndarray]
    """The results of the last screening by the names of `LabeledBatch`: soft, weight, group and is_match. It is empty
    before the first screening."""


def train(
    method: Method,
    tuners: Sequence[Tuner],
    source: ViewSource,
    labels: Ints,
    schedule: Schedule | None = None,
    *,
    classes: int | None = None,
    zero_shot: Classifier | Floats | None = None,
    match: MatchScores | None = None,
    seed: int = 1,
    listeners: Sequence[Listener] = (),
    checkpoint: Path | None = None,
    fingerprint: str = "",
) -> Outcome:
    """Train tuners of a frozen model on labels that are partly wrong, and audit the labels.

    Parameters
    ----------
    method : the stages, and the names of the tuners.
    tuners : one tuner for each of `method.tuners`, in that order; an empty sequence for an audit without tuning.
    source : the features or images of N samples.
    labels : (N,) given labels.
    schedule : number of steps, batch size and learning rate; by default `Schedule()`.
    classes : number of classes C; by default the highest label plus one.
    zero_shot : the untuned classifier, or its probabilities (N, C), for methods that read them.
    match : the scores of the image-text matcher, for methods that read them.
    seed : seed of every random draw. On one machine, the same seed gives identical results.
    listeners : functions that are called with each event of the run.
    checkpoint : folder in which the run saves its state, and from which it continues.
    fingerprint : text that identifies the run in its checkpoint. It must differ between runs with different results.

    Raises
    ------
    ValueError
        The arguments do not fit together, or an input that the method needs is missing.
    ModelError
        The loss is not finite.
    """
    labels = np.asarray(labels, dtype=np.int64)
    if not len(labels) or len(labels) != len(source.keys):
        raise ValueError(f"expected a label for each of {len(source.keys)} samples, but got {len(labels)}")
    classes = int(labels.max()) + 1 if classes is None else classes
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"expected labels in 0..{classes - 1}, but they run from {labels.min()} to {labels.max()}")
    question = Question(source, labels, classes, zero_shot, match)
    _check(method, tuners, question)
    loop = _Loop(method, tuners, question, schedule or Schedule(), seed, listeners, History(checkpoint))
    return loop.run(checkpoint, fingerprint)


def _check(method: Method, tuners: Sequence[Tuner], question: Question) -> None:
    """Raise ValueError if the tuners are not those of the method, or an input that the method needs is missing."""
    names = [spec.name for spec in method.tuners]
    listed = ", ".join(names) or "none"
    if tuners and len(tuners) != len(names):
        raise ValueError(f"expected a tuner for each of {listed}, but got {len(tuners)}")
    if len(set(names)) < len(names):
        raise ValueError(f"expected a name of its own for each tuner, but they are called {listed}")
    for name, tuner in zip(names, tuners, strict=False):
        if tuner.needs == "pixels" and not getattr(question.source, "pixels", False):
            raise ValueError(f"the tuner {name!r} reads pixels: give a source of live images with pixels=True")
    if not tuners and "logits" in method.requires:
        raise ValueError(f"the method {method.name!r} reads the logits of its tuners ({listed}): give them")
    for wanted, given, argument in (
        ("zero_shot", question.zero_shot, "zero_shot"),
        ("class_vectors", question.class_vectors(), "zero_shot as a Head"),
        ("match", question.match, "match"),
    ):
        if given is None and wanted in method.requires:
            raise ValueError(f"the method {method.name!r} reads {wanted}: give {argument}")


class _Loop:
    """A run of `train`. Its attributes do not change from step to step, except the tuners and the optimizer."""

    def __init__(
        self,
        method: Method,
        tuners: Sequence[Tuner],
        question: Question,
        schedule: Schedule,
        seed: int,
        listeners: Sequence[Listener],
        history: History,
    ):
        self.method, self.question, self.schedule, self.seed = method, question, schedule, seed
        self.listeners, self.history = listeners, history
        self.tuners = {spec.name: tuner for spec, tuner in zip(method.tuners, tuners, strict=False)}
        self.trainable = torch.nn.ModuleDict(self.tuners)
        tunes = {name: tuner for name, tuner in self.tuners.items() if method.tunes}
        self.stepped = {name: tuner for name, tuner in tunes.items() if tuner.steps}
        self.solved = [tuner for tuner in tunes.values() if not tuner.steps]
        self.steps = schedule.steps if self.stepped else 0
        warm = round(method.warm_up * self.steps)
        rounds = max(1, method.rounds)
        self.warm_up_steps = warm
        self.screenings = {warm + i * (self.steps - warm) // rounds for i in range(rounds)} if self.steps else set()
        self.groups = [group for tuner in self.stepped.values() for group in tuner.parameter_groups()]
        self.rates = [float(group["lr"]) for group in self.groups]
        self.optimizer = torch.optim.SGD(self.groups, momentum=MOMENTUM) if self.steps else None

    def run(self, checkpoint: Path | None, fingerprint: str) -> Outcome:
        """Take all steps and screenings, from the checkpoint if there is one, and return the outcome."""
        run = self._resume(checkpoint, fingerprint)
        for step in range(run.step, self.steps):
            if step in self.screenings:
                self._screen(run, step)
            self._learn(run, step)
            run.step = step + 1
            if checkpoint and (run.step % CHECKPOINT_EVERY == 0 or run.step == self.steps):
                self._save(run, checkpoint, fingerprint)
        if self.solved:
            self._solve(run)
        last = self._screen(run, self.steps)
        self._tell(Event("end", self.steps, self.steps))
        return self._outcome(last)

    def _outcome(self, last: Round) -> Outcome:
        """Return the outcome of the run after its last round."""
        voters = {name: part for name, part in self._classifiers().items() if name in self.method.voters}
        asked: dict[str, Classifier] = dict(voters)
        if callable(self.question.zero_shot):
            asked["zero_shot"] = self.question.zero_shot
        predicted = predicted_classes(asked, self.question.source)
        if isinstance(self.question.zero_shot, np.ndarray):
            predicted["zero_shot"] = self.question.zero_shot.argmax(1)
        passes = self.steps * sum(tuner.text_passes for tuner in self.stepped.values())
        classifier = average(list(voters.values())) if voters else None
        return Outcome(self.tuners, classifier, last, predicted, self.history, passes)

    def _classifiers(self) -> dict[str, Classifier]:
        """Return the current classifiers by the names of their tuners."""
        return {name: tuner.export() for name, tuner in self.tuners.items()}

    @cached_property
    def _untuned(self) -> Floats | None:
        """Return the probabilities (N, C) of the untuned classifier; None if no stage reads them."""
        return self.question.untuned() if "zero_shot" in self.method.reads else None

    def _screen(self, run: _Run, step: int) -> Round:
        """Run the stages of the method once, before the step `step`, and keep the results for the next steps."""
        self._check_parameters(step)
        reads = self.method.reads
        tuned = self._classifiers() if "logits" in reads else {}
        evidence = gather(self.question, tuned, self.method.voters, self._untuned, reads)
        outcome, run.memory = one_round(self.method, evidence, run.memory)
        run.lesson = (
            {}
            if not self.tuners
            else {
                "soft": np.asarray(outcome.targets.soft, dtype=np.float32),
                "weight": np.asarray(outcome.targets.weight, dtype=np.float32),
                "group": np.asarray(outcome.partition.group),
                "is_match": np.asarray(outcome.matched.is_match),
            }
        )
        self.history.add(step, outcome)
        self._tell(Event("screening", step, self.steps, {"noise": outcome.noise.rate}, outcome))
        return outcome

    def _learn(self, run: _Run, step: int) -> None:
        """Take one training step."""
        assert self.optimizer is not None
        warming = step < self.warm_up_steps
        batch = self._draw(run, step)
        if not warming:
            batch = self.method.prepare(batch, np.random.default_rng([self.seed, MIX, step]))
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.schedule.factor(step)
        self.optimizer.zero_grad()
        with self._own_randomness(step):
            logits = torch.stack([tuner.logits(batch.inputs) for tuner in self.stepped.values()]).float()
            loss = (self.method.warm_up_loss if warming else self.method.loss)(logits, batch) + self._prior()
            if not torch.isfinite(loss):
                raise self._not_finite(logits, step)
            loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._tell(Event("step", step + 1, self.steps, {"loss": float(loss.detach())}))

    def _prior(self) -> Tensor | float:
        """Return the share of the prior in the mean loss: the pull of the tuners toward their initial state."""
        if not self.method.anchor:
            return 0.0
        departure = sum(tuner.departure() for tuner in self.stepped.values())
        return self.method.anchor * departure / len(self.question.labels)

    @contextmanager
    def _own_randomness(self, step: int) -> Iterator[None]:
        """Within this block, make the random numbers of torch, such as dropout, depend on seed and step only."""
        device = self.question.source.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(int(np.random.SeedSequence([self.seed, TORCH, step]).generate_state(1)[0]))
            yield

    def _check_parameters(self, step: int) -> None:
        """Raise ModelError if the parameters of a tuner are not finite."""
        for name, tuner in self.stepped.items():
            if not all(torch.isfinite(parameter).all() for parameter in tuner.parameters()):
                raise ModelError(f"The tuner {name!r} is not finite after step {step} of {self.steps}. {REMEDY}")

    def _not_finite(self, logits: Tensor, step: int) -> ModelError:
        """Return the error for a step whose loss is not finite. It names the tuner that caused this, if one did."""
        wrong = [name for name, each in zip(self.stepped, logits, strict=True) if not torch.isfinite(each).all()]
        because = f", because the logits of the tuner {wrong[0]!r} are not" if wrong else ""
        return ModelError(f"The loss is not finite in step {step + 1} of {self.steps}{because}. {REMEDY}")

    def _draw(self, run: _Run, step: int) -> LabeledBatch:
        """Return the batch of a step: some samples, and some views of each. The draw depends on the content keys."""
        source = self.question.source
        rows = chosen(source.keys, self.schedule.batch, self.seed, ORDER, step)
        rows = rows[np.argsort(source.keys[rows], kind="stable")]  # mixup pairs samples by their place in the batch
        views = self._views(source.keys[rows], step)
        parts = self._lesson(run, rows)

        def repeated(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(source.device).repeat_interleave(views.shape[1], 0)

        return LabeledBatch(source.batch(rows, views), **{name: repeated(array) for name, array in parts.items()})

    def _views(self, keys: np.ndarray, step: int) -> Ints:
        """Return view numbers (n, k): a draw of the cached views, or new numbers if every step makes new crops."""
        augmented = self.question.source.augmented
        if augmented is None:
            fresh = 1 + step * self.schedule.views + np.arange(self.schedule.views)
            return np.tile(fresh, (len(keys), 1))
        draws = np.stack([uniforms(keys, self.seed, VIEW, step, v) for v in range(1 + augmented)], axis=1)
        return np.argsort(draws, axis=1, kind="stable")[:, : min(self.schedule.views, 1 + augmented)]

    def _lesson(self, run: _Run, rows: Ints) -> dict[str, np.ndarray]:
        """Return the targets of the samples at the positions `rows` (n,), by the names of `LabeledBatch`.

        They are the results of the last screening or, before the first screening, the given labels.
        """
        if run.lesson:
            return {name: array[rows] for name, array in run.lesson.items()}
        return {
            "soft": one_hot(self.question.labels[rows], self.question.classes).astype(np.float32),
            "weight": np.ones(len(rows), np.float32),
            "group": np.full(len(rows), Group.CLEAN, dtype=np.int8),
            "is_match": np.ones(len(rows), dtype=bool),
        }

    def _solve(self, run: _Run) -> None:
        """Fit the tuners without steps to the targets of the last screening."""
        if not run.lesson:
            self._screen(run, self.steps)
        source = self.question.source
        rows = np.argsort(source.keys, kind="stable")[:SOLVED_ROWS]  # sorted by key, so that folds depend on content
        features = torch.cat([source.mean_view(rows[part]) for part in blocks(len(rows))])
        soft, weight = (torch.from_numpy(run.lesson[name][rows]).to(source.device) for name in ("soft", "weight"))
        for tuner in self.solved:
            tuner.fit(features, soft, weight)

    def _tell(self, event: Event) -> None:
        """Call all listeners with an event."""
        for listener in self.listeners:
            listener(event)

    def _save(self, run: _Run, folder: Path, fingerprint: str) -> None:
        """Save the state of the run in its checkpoint."""
        assert self.optimizer is not None
        tuners = dict(self.trainable.state_dict())
        memory, lesson = tensors_of(run.memory), tensors_of(run.lesson)
        save(State(run.step, tuners, optimizer_tensors(self.optimizer), memory, lesson), folder, fingerprint)

    @torch.no_grad()
    def _resume(self, folder: Path | None, fingerprint: str) -> _Run:
        """Return the state from the checkpoint, after restoring tuners and optimizer, or the state of a new run."""
        state = load(folder, fingerprint) if folder else None
        if state is None or self.optimizer is None:
            self.history.clear()
            return _Run(0, {}, {})
        for name, value in self.trainable.state_dict().items():
            value.copy_(state.tuners[name])
        restore_optimizer(self.optimizer, state.optimizer)
        return _Run(state.step, arrays_of(state.memory), arrays_of(state.lesson))
