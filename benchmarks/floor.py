"""The arithmetic floor of the text pass: the fewest operations that give class weights and the context's gradient.

Only matrix products are counted, a multiply-add as 2 operations; norms, activations and the softmax are left out. What
cannot be avoided in a causal tower of n layers, width W, inner width M and feature size D, for C prompts that share
their first S positions and whose learned positions are `learned`:

**Positions.** The S shared positions are run once, every other position of a prompt (up to its end token) once for its
row: P = S + sum of own lengths. What stands behind the end token is not run.

**Forward**, per position and layer: keys and values 2 W^2; queries and output projection 2 W^2; MLP 2 W M; attention of
the position at index p over p + 1 keys: 2 (p + 1) W, scores and sum. In the last layer the keys and values of all
positions are needed, the rest for the end token alone, whose projection costs W D.

**Backward.** The weights are frozen, so a linear layer costs its forward once more (gradient of its input), not twice,
and nothing flows into positions that hold no learned vector and have none before them: by causality they are constants.
Call the others live; they begin at the first learned position f. For a live position and layer:

- output projection and MLP as in the forward pass (last layer: the end token alone);
- attention: gradients of its probabilities and of its query need all p + 1 keys, those of keys and values only the
  p + 1 - f live ones: 2 (p + 1) W + 2 (p + 1 - f) W;
- queries, keys and values: 3 W^2 (last layer: 2 W^2, and W^2 for the end token).

In the first layer the inputs are the embeddings, of which only the learned ones want a gradient. There queries, keys
and values cost 3 W^2 for learned positions alone. A learned position's attention is that of any live one; the others
need, of every learned key before them, the gradients of probability, key and value: 3 W per learned key.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import nn

from srrs.models.base import Prompts
from srrs.models.dual import DualEncoder


class Tower(NamedTuple):
    """Sizes of a causal text tower."""

    layers: int
    width: int
    inner: int
    features: int

    @classmethod
    def of(cls, model: DualEncoder) -> "Tower":
        """Of a CLIP."""
        text = model.model.config.text_config
        return cls(text.num_hidden_layers, text.hidden_size, text.intermediate_size, model.feature_size)


class Layout(NamedTuple):
    """Where things stand in the prompts."""

    lengths: Sequence[int]
    """Real length of each prompt."""
    shared: int
    """Leading positions that are alike in all of them."""
    learned: range
    """Positions that hold learned vectors."""

    @classmethod
    def of(cls, prompts: Prompts, start: int, context: nn.Parameter) -> "Layout":
        """Of a learner's prompts, whose context stands behind `start` tokens."""
        return cls(prompts.length.tolist(), prompts.shared, range(start, start + context.shape[-2]))


class Operations(NamedTuple):
    """Counts, a multiply-add as 2."""

    forward_linear: int
    forward_attention: int
    backward_linear: int
    backward_attention: int

    @property
    def total(self) -> int:
        return sum(self)


def text_pass(tower: Tower, layout: Layout) -> Operations:
    """Operations of one forward and backward pass of all prompts."""
    counts = [0, 0, 0, 0]
    for position, is_end in _positions(layout):
        for layer in range(tower.layers):
            for kind, amount in enumerate(_of_position(tower, layout, layer, position, is_end)):
                counts[kind] += amount
    projection = tower.width * tower.features * len(layout.lengths)
    counts[0] += projection
    counts[2] += projection
    return Operations(*(2 * count for count in counts))


def _positions(layout: Layout) -> Iterator[tuple[int, bool]]:
    """Every position that is run, and whether it is an end token."""
    yield from ((position, False) for position in range(layout.shared))
    for length in layout.lengths:
        yield from ((position, position + 1 == length) for position in range(layout.shared, length))


def _of_position(tower: Tower, layout: Layout, layer: int, position: int, is_end: bool) -> tuple[int, int, int, int]:
    """Multiply-adds of one position in one layer: forward linear and attention, backward linear and attention."""
    width, square, mlp = tower.width, tower.width**2, 2 * tower.width * tower.inner
    keys, learned = position + 1, layout.learned
    queries = is_end or layer + 1 < tower.layers  # the last layer is asked at the end token alone
    forward = 2 * square + queries * (2 * square + mlp)
    attention = queries * 2 * keys * width
    if position < learned.start:
        return forward, attention, 0, 0
    backward = queries * (square + mlp)  # output projection and MLP
    if layer > 0 or position in learned:
        live = keys - learned.start
        backward += (2 + queries) * square
        return forward, attention, backward, queries * 2 * (keys + live) * width
    return forward, attention, backward, queries * 3 * len(learned) * width
