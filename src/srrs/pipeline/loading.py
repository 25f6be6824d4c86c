"""Functions that load the models that the settings name."""

from functools import lru_cache, partial
from typing import Any

import torch

from srrs.cluster import Spread
from srrs.config import Settings
from srrs.data.embeddings import Embeddings
from srrs.errors import SettingsError
from srrs.features.tasks import Workers
from srrs.models.base import NO_MODEL, ClassVectors, ImageTower, Models
from srrs.models.fingerprint import same_weights


def load_models(settings: Settings, embeddings: Embeddings | None = None) -> Models:
    """Return the dual encoder and the matcher that the settings name.

    With embeddings, the images need not exist. Therefore a matcher is then loaded only if the settings name one (not
    for `auto`). With the model `none`, the class vectors of the embeddings replace the towers.

    Raises
    ------
    SettingsError
        Another model made the embeddings, or there are neither a model nor embeddings.
    ModelError
        A model cannot be loaded.
    """
    from srrs.models.device import choose_device
    from srrs.models.hub import load_model
    from srrs.models.matcher import load_matcher

    chosen = settings.model
    matcher = NO_MODEL if embeddings and chosen.matcher == "auto" else chosen.matcher
    if chosen.name != NO_MODEL:
        clip = load_model(chosen.name, chosen.device, chosen.precision)
        if embeddings:
            check_made_by(embeddings, clip)
        return Models.of(clip, load_matcher(matcher, chosen.name, chosen.device))
    if embeddings is None:
        raise SettingsError("Without a model (--model none) there must be embeddings: give them with --features FILE.")
    classes, device = embeddings.classes, choose_device(chosen.device)
    return Models.without_towers(
        embeddings.size,
        ClassVectors(torch.from_numpy(classes.plain), _tensor(classes.described)) if classes else None,
        logit_scale=classes.logit_scale if classes else None,
        fingerprint=embeddings.model,
        device=device,
        matcher=load_matcher(matcher, chosen.name, chosen.device),
    )


def workers(spread: Spread | None, settings: Settings) -> Workers | None:
    """Return the object that encodes images on a cluster, with the model of the settings; None without a cluster."""
    chosen = settings.model
    return Workers(spread, partial(_tower, chosen.name, chosen.device, chosen.precision)) if spread else None


@lru_cache(maxsize=1)
def _tower(name: str, device: str, precision: str) -> ImageTower:
    """Return the image tower of a model. It is loaded once per process."""
    from srrs.models.hub import load_model

    return load_model(name, device, precision)


def _tensor(array: Any) -> torch.Tensor | None:
    """Return an array as a tensor; None for None."""
    return None if array is None else torch.from_numpy(array)


def check_made_by(embeddings: Embeddings, clip: ImageTower) -> None:
    """Raise SettingsError if the embeddings have the fingerprint of another model, or another feature size."""
    if embeddings.model and not same_weights(embeddings.model, clip.fingerprint):
        name = f" ('{embeddings.model_name}')" if embeddings.model_name else ""
        raise SettingsError(
            f"The embeddings of {embeddings.source} were made by another model{name} than '{clip.name}': give that one "
            "with --model, or --model none to work without any, or embed the images again."
        )
    if embeddings.size != clip.feature_size:
        raise SettingsError(
            f"Expected embeddings of {clip.feature_size} numbers each, as '{clip.name}' makes them, but those of "
            f"{embeddings.source} have {embeddings.size}. Give the model that made them, or --model none."
        )
