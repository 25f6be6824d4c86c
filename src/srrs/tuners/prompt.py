"""Prompts whose context is learned (CoOp): the class prompt (macro) and the described prompt (micro).

P prompts per class, C classes, M context tokens, L prompt length, W token embedding size, D feature size.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from srrs.errors import ModelError, SettingsError
from srrs.models.base import Prompts, TextTower
from srrs.prompts.templates import MACRO, MICRO, Template
from srrs.records import Batch
from srrs.tuners.base import LEARNING_RATE, Foundation, Head, Tuner, features_of

Position = Literal["end", "middle", "front"]
POSITIONS = ("end", "middle", "front")
"""Positions of the class name: after the context, in its middle, or before it."""
FULL_RATE = 100
"""Number of classes below which the learning rate of contexts per class is reduced."""
FULL_SIZE = 0.0245
"""Root mean square of the context vectors below which the learning rate is reduced. It is that of the bundled model."""
INITIAL_STD = 0.02
"""Standard deviation of random context vectors, about that of a tower's token embeddings (CoOp)."""


class ClassPrompt(Tuner):
    """Prompts of the class names with a learned context (macro in the paper).

    The context is the sequence of token vectors that is learned. With initial words and one prompt per class, the
    initial class weights are the model's encodings of the written prompts.

    Parameters
    ----------
    foundation : the frozen model and the classes.
    words : initial words of the context.
    random : number of random context vectors that replace the words; 0 for the words.
    shared : whether all classes share one context; otherwise each class has its own.
    prompts : number of prompts per class. A small random vector is added to the initial words of all prompts but the
        first, so that the prompts differ.
    position : position of the class name: after the context (end), in its middle, or before it (front).
    average : `features` or `logits`: what is averaged over the prompts of a class.

    Raises
    ------
    ModelError
        A class name is too long for the context length of the text tower.
    SettingsError
        An argument is not allowed, or the model has no text tower.
    """

    described = False
    text_passes = 1
    text: TextTower
    _start: Tensor

    def __init__(
        self,
        foundation: Foundation,
        *,
        words: str = MACRO.before,
        random: int = 0,
        shared: bool = True,
        prompts: int = 1,
        position: Position = "end",
        average: Literal["features", "logits"] = "features",
    ):
        super().__init__()
        if foundation.text is None:
            raise SettingsError(
                "Prompts need a text tower, but there is none: give a model, or a method that tunes without text, such "
                "as linear-probe."
            )
        object.__setattr__(self, "text", foundation.text)  # not a submodule: a frozen tower is neither tuned nor saved
        self.scale, self.average = foundation.logit_scale, average
        self.layout = PromptLayout(
            foundation.text,
            foundation.class_names,
            context=random or words,
            class_specific=not shared,
            prompts=prompts,
            position=position,
            descriptions=foundation.descriptions if self.described else None,
            generator=foundation.generator,
        )
        self.register_buffer("_start", self.layout.context.detach().clone(), persistent=False)
        self.learning_rate = LEARNING_RATE * _pace(
            self.layout.context.detach(), FULL_RATE if shared else len(foundation.class_names)
        )

    def class_weights(self) -> Tensor:
        """Return the mean (C, D) of the features of each class's prompts. Gradients flow to the context.

        If `average` is `features`, the mean is scaled to unit length.
        """
        features = self.text.encode_prompts(self.layout())
        classes = len(self.layout.class_names)
        if self.average == "logits":
            return features.view(-1, classes, features.shape[-1]).mean(0)
        return mean_per_class(features, classes)

    def departure(self) -> Tensor:
        """Return the squared distance of each context from its initial value, relative to the size, summed.

        A context whose every vector has moved by its own length counts 1.
        """
        if not self._start.numel():
            return super().departure()
        size = self._start.square().mean().clamp(min=1e-12)
        return (self.layout.context - self._start).square().mean((-2, -1)).sum() / size

    def logits(self, batch: Batch) -> Tensor:
        """Return the logits (B, C)."""
        return self.scale * features_of(batch) @ self.class_weights().T

    @torch.no_grad()
    def export(self) -> Head:
        """Return a `Head` with the current class weights."""
        return Head(self.class_weights(), self.scale)


class DescribedPrompt(ClassPrompt):
    """Prompts that also contain a description of the class (micro in the paper). Only the context is learned."""

    described = True


class PromptLayout(nn.Module):
    """The token vectors of all prompts, with a learned context, in the form that the text tower reads (`Prompts`).

    A prompt is a sequence of five parts: start tokens, learned context, class name, tail, and end tokens. The tail is
    the text after the class name: a full stop, or a description.

    Parameters
    ----------
    model : the text tower, which gives the tokens and their vectors.
    class_names : the C class names.
    context : initial words of the context, or a number of random context vectors.
    class_specific : whether each class has its own context; otherwise all classes share one.
    prompts, position : as in `ClassPrompt`.
    descriptions : a clause for each class (None for a class without one), which the tail contains; None for prompts
        without descriptions.
    template : the template of the tail; by default `.`, or `, which has {description}.` with descriptions.
    generator : source of random numbers for random context vectors and for several prompts per class.
    """

    _table: Tensor
    _source: Tensor

    def __init__(
        self,
        model: TextTower,
        class_names: Sequence[str],
        *,
        context: str | int = MACRO.before,
        class_specific: bool = False,
        prompts: int = 1,
        position: Position = "end",
        descriptions: Sequence[str | None] | None = None,
        template: Template | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        _check(class_names, context, prompts, position, descriptions)
        template = template or (MACRO if descriptions is None else MICRO)
        words = model.tokens(context) if isinstance(context, str) else None
        size = len(words) if words is not None else int(context)
        self.class_names = tuple(class_names)
        self.position = position
        self.notes: tuple[str, ...] = ()
        """One sentence for each class whose description was shortened."""

        vectors = model.embed(words).cpu() if words is not None else None
        contexts = (prompts, len(class_names), size) if class_specific else (prompts, size)
        self.context = nn.Parameter(_initial(vectors, (*contexts, model.token_size), generator).to(model.device))

        lead = context if isinstance(context, str) else "a"
        contents = self._contents(model, template, descriptions, size, lead)
        self._lay_out(model, contents, prompts, size, class_specific)

    def forward(self) -> Prompts:
        """Return the current prompts, P·C rows: the first prompt of every class, then the second ones, and so on."""
        return Prompts(
            self._table, self.context.flatten(0, -2), self._source, self._length, self._shared, self._class_of
        )

    def _contents(
        self,
        model: TextTower,
        template: Template,
        descriptions: Sequence[str | None] | None,
        size: int,
        lead: str,
    ) -> list[tuple[list[int], list[int]]]:
        """Return the token ids of each class's name and tail. A description that is too long is shortened.

        `size` is the number of context tokens, and `lead` the text before the name, by which the name is tokenized.
        Raises ModelError if a prompt without description is too long.
        """
        room = model.context_length - len(model.start) - len(model.end) - size
        contents, notes = [], []
        for name, description in zip(self.class_names, descriptions or [None] * len(self.class_names), strict=True):
            kept = (description or "").split()
            words = len(kept)
            while True:
                ids = _content(model, lead, name, template.tail(" ".join(kept)), split=self.position != "end")
                if len(ids[0]) + len(ids[1]) <= room:
                    break
                if not kept:
                    raise ModelError(
                        f"The class name {name!r} is too long: its prompt has {len(ids[0]) + len(ids[1])} tokens, but "
                        f"beside the context there is room for {room}. Shorten the name or the context."
                    )
                kept.pop()
            if len(kept) < words:
                notes.append(f"The description of {name!r} was cut to {len(kept)} of {words} words to fit the model.")
            contents.append(ids)
        self.notes = tuple(notes)
        return contents

    def _lay_out(
        self, model: TextTower, contents: list[tuple[list[int], list[int]]], prompts: int, size: int, own: bool
    ) -> None:
        """Make the table of fixed token vectors, and determine the vector at each position of each row.

        A vector is given by its row in `Prompts.vectors`, which are the table and then the learned context vectors.
        `own` is true if each class has its own context.
        """
        ids = sorted({i for name, tail in contents for i in (*name, *tail)} | {*model.start, *model.end})
        place = {token: row for row, token in enumerate(ids)}
        before = {"end": size, "middle": size // 2, "front": 0}[self.position]  # context tokens before the name
        rows = []
        for p in range(prompts):
            for c, (name, tail) in enumerate(contents):
                first = len(ids) + (p * len(contents) + c if own else p) * size
                context = list(range(first, first + size))
                fixed = [[place[i] for i in part] for part in (model.start, name, tail, model.end)]
                rows.append([*fixed[0], *context[:before], *fixed[1], *context[before:], *fixed[2], *fixed[3]])
        longest = max(map(len, rows))
        source = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        self.register_buffer("_table", model.embed(ids), persistent=False)
        self.register_buffer("_source", source.to(model.device), persistent=False)
        self._length = torch.tensor([len(row) for row in rows])  # on the CPU, where the passes are planned
        self._class_of = torch.arange(len(contents)).repeat(prompts)
        self._shared = len(model.start) + (before if prompts == 1 and not own else 0)


def _pace(context: Tensor, classes: int) -> float:
    """Return the factor (at most 1) for the learning rate of a context.

    `classes` is the number of classes with their own contexts, or FULL_RATE for a shared context. The text tower
    normalizes its input, so the gradient grows as the context vectors get smaller. For the same relative step, the rate
    must fall with the square of their size. The gradient of one of C contexts is about 1 / C of the gradient of a
    shared context, so with fewer classes the same rate takes larger steps. Larger context vectors or more classes do
    not raise the rate.
    """
    size = float(context.square().mean().sqrt())
    return min(1.0, (size / FULL_SIZE) ** 2) * min(1.0, classes / FULL_RATE)


@torch.no_grad()
def zero_shot_weights(model: TextTower, class_names: Sequence[str], templates: Sequence[Template] = (MACRO,)) -> Tensor:
    """Return the class vectors (C, D) of the untuned model: the mean over the templates, scaled to unit length."""
    features = [
        model.encode_prompts(PromptLayout(model, class_names, context=t.before, template=t)()) for t in templates
    ]
    return mean_per_class(torch.cat(features), len(class_names))


def mean_per_class(features: Tensor, classes: int) -> Tensor:
    """Return the mean (C, D) over the P prompts of each class, scaled to unit length, from features (P·C, D).

    The rows are the first prompts of all classes, then the second prompts, and so on.
    """
    return normalize(features.view(-1, classes, features.shape[-1]).mean(0), dim=-1)


def _content(model: TextTower, lead: str, name: str, tail: str, *, split: bool) -> tuple[list[int], list[int]]:
    """Return the token ids of a class name and of the tail, as the tokenizer gives them inside the whole sentence.

    Some tokenizers give a word at the start of a text other tokens than after a space. Therefore the text `lead` is put
    before the name, and its tokens are removed. Name and tail are tokenized together, as the first of the two lists,
    unless the context is between them (`split`).
    """
    if split:
        return model.tokens(name), model.tokens(tail)
    return _behind(model, lead, name + tail), []


def _behind(model: TextTower, lead: str, text: str) -> list[int]:
    """Return the token ids of a text that follows the text `lead`."""
    before, whole = model.tokens(lead), model.tokens(f"{lead} {text}".strip())
    return whole[len(before) :] if whole[: len(before)] == before else model.tokens(text)


def _initial(words: Tensor | None, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Return initial contexts (P, M, W) or (P, C, M, W).

    They are the vectors of the words (M, W), with a small random vector added from the second prompt on. Without words,
    they are random.
    """
    if words is not None and shape[0] == 1:
        return words.expand(shape).clone()
    if generator is None:
        raise SettingsError("Random context vectors need a generator: pass torch.Generator().manual_seed(seed).")
    noise = torch.randn(shape, generator=generator) * INITIAL_STD
    if words is None:
        return noise
    noise[0] = 0
    return words + noise * 0.1


def _check(
    class_names: Sequence[str],
    context: str | int,
    prompts: int,
    position: str,
    descriptions: Sequence[str | None] | None,
) -> None:
    """Raise SettingsError if an argument of `PromptLayout` is not allowed."""
    if not class_names or not all(name.strip() for name in class_names):
        raise SettingsError(f"Expected class names, none of them empty, but found {list(class_names)[:5]}.")
    if isinstance(context, int) and context < 0:
        raise SettingsError(f"Expected initial words or a number of context vectors, but found {context}.")
    if prompts < 1:
        raise SettingsError(f"Expected at least one prompt per class, but found {prompts}.")
    if position not in POSITIONS:
        raise SettingsError(f"Expected the class name at {', '.join(POSITIONS)}, but found {position!r}.")
    if descriptions is not None and len(descriptions) != len(class_names):
        raise SettingsError(f"Expected {len(class_names)} descriptions, one per class, but found {len(descriptions)}.")
