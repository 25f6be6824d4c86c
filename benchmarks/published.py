"""The published way of doing the work, written plainly, on the same weights.

It follows the released code in what costs time and memory, and leaves out, in its favour, what only a mistake makes
slow or what is small: opening and cropping the photographs anew, the mixing and repeating of samples that doubles a
batch, searching lists of sample numbers one by one, both mixtures, saving and testing.

C classes, B photographs, V views, L = 77 positions, W token width, D feature size.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from srrs.methods.stages import LabeledBatch, Loss
from srrs.models.dual import DualEncoder

EPOCHS, BATCH, VIEWS, SCREEN_EVERY = 200, 32, 4, 2
LEARNING_RATE, MOMENTUM = 0.002, 0.9
MATCH_TOKENS = 35
WORDS = "a photo of a"


class Learner(nn.Module):
    """Class prompts with a learned context in the place of their first words.

    Every prompt fills all 77 positions, however short it is: what stands behind its end token is run, and its
    activations are kept for the backward pass, though nothing reads them.
    """

    _ids: Tensor
    _before: Tensor
    _after: Tensor

    def __init__(self, model: DualEncoder, sentences: Sequence[str], *, per_class: bool = False):
        super().__init__()
        self._encoder = model  # not a module: its weights are no parameters of the learner
        self._first, words = len(model.start), len(model.tokens(WORDS))
        length = model.context_length
        rows = [[*model.start, *model.tokens(sentence), *model.end] for sentence in sentences]
        ids = torch.tensor([row + [model.end[-1]] * (length - len(row)) for row in rows], device=model.device)
        self.register_buffer("_ids", ids, persistent=False)
        embeddings = model.model.text_model.get_input_embeddings()(ids).float()
        behind = self._first + words
        self.register_buffer("_before", embeddings[:, : self._first], persistent=False)
        self.register_buffer("_after", embeddings[:, behind:], persistent=False)
        initial = embeddings[:, self._first : behind] if per_class else embeddings[0, self._first : behind]
        self.context = nn.Parameter(initial.clone())

    def forward(self) -> Tensor:
        """(C, D) unit vectors, by the tower's own forward on (C, 77, W)."""
        context = self.context.expand(len(self._ids), -1, -1)
        prompts = torch.cat([self._before, context, self._after], dim=1)
        clip = self._encoder.model
        tokens = clip.text_model.get_input_embeddings()
        handle = tokens.register_forward_hook(lambda module, inputs, output: prompts)
        try:
            features = clip.get_text_features(input_ids=self._ids).pooler_output
        finally:
            handle.remove()
        return normalize(features.float(), dim=-1)


def learners_of(model: DualEncoder, macro: Sequence[str], micro: Sequence[str], *, per_class: bool) -> list[Learner]:
    """The class prompts and the described prompts."""
    return [Learner(model, sentences, per_class=per_class) for sentences in (macro, micro)]


class Trainer:
    """Both learners, each with an optimiser of its own."""

    def __init__(self, model: DualEncoder, learners: Sequence[Learner], objective: Loss):
        self.model, self.learners, self.objective = model, learners, objective
        self.optimisers = [
            torch.optim.SGD(learner.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM) for learner in learners
        ]

    def step(self, pixels: Tensor, batch: LabeledBatch) -> Tensor:
        """One step on (B·V, 3, H, W) photographs and what they teach, row by row; returns the logits.

        The image tower does not learn, so its features never change; it is run all the same for every view, once for
        each learner, in every step. The text features of all classes are computed in every step, too.
        """
        logits = torch.stack([_logits(self.model, learner, pixels) for learner in self.learners])
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        self.objective(logits, batch).backward()  # type: ignore[no-untyped-call]
        for optimiser in self.optimisers:
            optimiser.step()
        return logits.detach()


@torch.no_grad()
def screen(model: DualEncoder, learners: Sequence[Learner], views: Tensor) -> Tensor:
    """What one batch of a screening costs the dual encoder: (V, B, 3, H, W) -> mean logits (learners, B, C).

    Fresh crops are encoded at every screening, once for each learner, and every batch computes the text features of
    all classes anew.
    """
    flat = views.flatten(0, 1)
    return torch.stack([_logits(model, learner, flat).view(*views.shape[:2], -1).mean(0) for learner in learners])


@torch.no_grad()
def match(model: Any, tokenizer: Any, views: Tensor, texts: Sequence[str]) -> Tensor:
    """What one batch of a re-screening costs the matcher: (V, B, 3, H, W), a text per photograph -> scores (B,).

    At every screening the matcher sees every view of every photograph again, image side and all, though it is frozen
    and most photographs meet the same text as before. Texts are padded to 35 tokens.
    """
    made = tokenizer(
        list(texts), padding="max_length", truncation=True, max_length=MATCH_TOKENS, padding_side="right",
        return_tensors="pt",
    )  # fmt: skip
    ids, mask = made["input_ids"].to(model.device), made["attention_mask"].to(model.device)
    scores = []
    for pixels in views:
        states = model.vision_model(pixel_values=pixels.to(model.device)).last_hidden_state
        fused = model.text_encoder(input_ids=ids, attention_mask=mask, encoder_hidden_states=states).last_hidden_state
        scores.append(model.itm_head(fused[:, 0]).softmax(-1)[:, 1])
    return torch.stack(scores).mean(0)


def _logits(model: DualEncoder, learner: Learner, pixels: Tensor) -> Tensor:
    features = torch.cat([image_features(model, batch) for batch in torch.split(pixels, BATCH)])
    logits: Tensor = model.logit_scale * features @ learner().T
    return logits


@torch.no_grad()
def image_features(model: DualEncoder, pixels: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, D) unit vectors, by the tower's own forward."""
    features = model.model.get_image_features(pixel_values=pixels).pooler_output
    return normalize(features.float(), dim=-1)
