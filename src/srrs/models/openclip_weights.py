"""Finds the weights of open_clip that a name refers to, and loads them from disk or from the hub."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from textwrap import shorten
from typing import Any

from huggingface_hub import try_to_load_from_cache

from srrs.errors import MissingExtraError, ModelError
from srrs.models.reach import is_reachable

PREFIX = "open_clip:"
CONFIG = "open_clip_config.json"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
ENDINGS = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""File names of the weights of open_clip on the hub, unless open_clip names another file."""
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")

OTHER_TOWERS = {
    "hf_model_name": "is one of transformers",
    "embed_cls": "is read at a token of its own",
    "no_causal_mask": "is not causal",
    "hf_tokenizer_name": "has a tokenizer of its own",
    "qk_norm": "normalizes queries and keys",
    "scaled_cosine_attn": "attends by cosine",
    "scale_heads": "scales its heads",
    "scale_attn_inner": "normalizes inside its attention",
    "scale_attn": "normalizes behind its attention",
    "scale_fc": "normalizes inside its MLP",
}
"""Settings of text towers that cannot be used, and the reason for the error message."""


@dataclass(frozen=True)
class Source:
    """The weights that a name refers to: weights on disk, or weights that open_clip knows by a tag."""

    architecture: str
    """The architecture in the form that open_clip takes: one of its names, or `local-dir:FOLDER`."""
    config: dict[str, Any]
    weights: Path | None = None
    tag: dict[str, Any] = field(default_factory=dict)
    """open_clip's entry for the weights: their location, and the preprocessing of their images."""


def is_open_clip(name: str) -> bool:
    return name.startswith(PREFIX)


def absolute_open_clip(name: str) -> str:
    """Return the name with an absolute path, if it contains a path."""
    source = name.removeprefix(PREFIX)
    if (Path(source) / CONFIG).is_file():
        return PREFIX + str(Path(source).resolve())
    architecture, _, pretrained = source.partition("/")
    if pretrained and Path(pretrained).exists():
        return f"{PREFIX}{architecture}/{Path(pretrained).resolve()}"
    return name


def import_open_clip(name: str) -> Any:
    try:
        with _quiet():
            import open_clip
    except ModuleNotFoundError as error:
        if error.name != "open_clip":
            raise ModelError(f"open_clip is installed, but lacks the package {error.name}.") from error
        raise MissingExtraError("open_clip_torch", "open-clip", f"The model {name!r}") from None
    except (ImportError, RuntimeError) as error:  # a torchvision built for another torch
        raise ModelError(
            f"open_clip is installed, but cannot be imported: {_brief(error)}. "
            "Its torchvision must be made for the torch beside it: install both together from one index."
        ) from error
    return open_clip


def find(open_clip: Any, name: str) -> Source:
    source = name.removeprefix(PREFIX)
    if (Path(source) / CONFIG).is_file():
        _weights_in(Path(source), name)
        return Source(f"local-dir:{source}", _read_config(Path(source) / CONFIG, name))
    architecture, _, pretrained = source.partition("/")
    config = open_clip.get_model_config(architecture)
    if config is None:
        close = get_close_matches(architecture, open_clip.list_models(), 3, 0.4)
        raise ModelError(
            f"Expected {PREFIX}ARCHITECTURE/PRETRAINED, but open_clip knows no architecture {architecture!r} and there "
            f"is no folder {source!r} that holds {CONFIG}. Did you mean {' or '.join(close) or 'RN50'}?"
        )
    path = Path(pretrained)
    if pretrained and path.is_dir():
        if (path / CONFIG).is_file():
            raise ModelError(f"The folder '{path}' says itself what model it holds: give {PREFIX}{path}.")
        return Source(architecture, config, weights=_weights_in(path, name))
    if pretrained and path.is_file():
        return Source(architecture, config, weights=path)
    tag = open_clip.get_pretrained_cfg(architecture, pretrained)
    if not tag:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none"
        raise ModelError(
            f"Expected weights of {architecture} behind the slash, but found {pretrained!r}: give a checkpoint's path, "
            f"or one of those that open_clip knows: {known}."
        )
    # Weights were trained with one activation; open_clip would run OpenAI's RN50 with the other and only warn.
    return Source(architecture, config | {"quick_gelu": bool(tag.get("quick_gelu"))}, tag=tag)


def _weights_in(folder: Path, name: str) -> Path:
    """Return the one checkpoint of a folder, safetensors before others."""
    found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    safe = [path for path in found if path.suffix == ".safetensors"]
    if not found:
        raise ModelError(
            f"The model {name!r} lacks weights: no file {', '.join('*' + s for s in SUFFIXES)} in {folder}."
        )
    if len(safe or found) > 1:
        raise ModelError(
            f"Expected one checkpoint in {folder}, but found {', '.join(p.name for p in safe or found)}: name the file."
        )
    return (safe or found)[0]


def _read_config(path: Path, name: str) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))["model_cfg"]
        return {**config, "text_cfg": dict(config["text_cfg"])}
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"Expected a configuration of open_clip with model_cfg and its text_cfg in {path} of the model {name!r}, "
            f"but it cannot be read: {type(error).__name__} {error}"
        ) from error


def check_text_tower(config: dict[str, Any], name: str) -> None:
    text = config["text_cfg"]
    found = [what for setting, what in OTHER_TOWERS.items() if text.get(setting)]
    if text.get("block_type", "default") not in (None, "default"):
        found.append(f"has blocks of the type {text['block_type']}")
    if text.get("pool_type", "argmax") != "argmax":
        found.append("is not read at the end token")
    if found:
        raise ModelError(
            f"srrs takes open_clip's models with CLIP's own text tower, but the one of {name!r} {', '.join(found)}. "
            "SigLIP and models with towers of transformers can be loaded by their transformers name instead."
        )


def load(open_clip: Any, source: Source, name: str) -> Any:
    weights = source.weights
    if source.tag:
        weights = _fetch(open_clip, source.tag, name)
    if weights is not None and weights.suffix not in SUFFIXES:
        raise ModelError(f"Expected a checkpoint {ENDINGS}, but found {weights}.")
    try:
        with _quiet():
            return open_clip.create_model(
                source.architecture,
                pretrained=str(weights) if weights else None,
                force_quick_gelu=bool(source.config.get("quick_gelu")),
                force_preprocess_cfg={key: source.tag[key] for key in PREPROCESSING if key in source.tag},
                require_pretrained=True,
                weights_only=True,
            )
    except Exception as error:  # a broken checkpoint may raise anything
        problem = _brief(error)
        if "TorchScript" in problem:
            problem = "it is a TorchScript archive, which holds code. Save its state_dict() as safetensors first."
        raise ModelError(f"The weights of {name!r} cannot be loaded: {problem}") from error


def _fetch(open_clip: Any, tag: dict[str, Any], name: str) -> Path:
    """Return the file of known weights: from the hub's cache, else fetched as open_clip does."""
    repository, _, file = tag.get("hf_hub", "").rpartition("/")
    for known in [str(Path(file).with_suffix(".safetensors")), file] if file else HUB_FILES:
        cached = try_to_load_from_cache(repository, known) if repository else None
        if isinstance(cached, str):
            return Path(cached)
    problem = "the hub does not answer"
    if not repository or is_reachable(repository):
        try:
            with _quiet():
                return Path(open_clip.pretrained.download_pretrained(tag))
        except Exception as error:  # the hub's and the network's errors share no root
            problem = _brief(error)
    raise ModelError(
        f"The weights of {name!r} are neither on disk nor reachable ({problem}): give the path of a checkpoint in "
        "place of their name."
    )


def _brief(error: BaseException) -> str:
    """What an error says, on one line and not at length."""
    return shorten(str(error), 200, placeholder=" ...") or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Without open_clip's remarks, which go through the root logger and would give it a handler for good."""
    root, before = logging.getLogger(), logging.root.manager.disable
    handler = logging.NullHandler()
    root.addHandler(handler)
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        root.removeHandler(handler)
