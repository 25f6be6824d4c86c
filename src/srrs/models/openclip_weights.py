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
"""Beginning of the name of a model of open_clip."""
CONFIG = "open_clip_config.json"
"""File name of the configuration in a folder that open_clip wrote."""
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
"""Endings of checkpoints."""
ENDINGS = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""File names of the weights of open_clip on the hub, unless open_clip names another file."""
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")
"""Preprocessing settings in open_clip's entry for known weights."""

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
"""Settings of text towers that are not supported, and the reason for the error message."""


@dataclass(frozen=True)
class Source:
    """The weights that a name refers to: weights on disk, or weights with a tag in the registry of open_clip."""

    architecture: str
    """The architecture as open_clip expects it: one of its names, or `local-dir:FOLDER`."""
    config: dict[str, Any]
    """open_clip's configuration of the architecture."""
    weights: Path | None = None
    """The checkpoint on disk; None for known weights, and for a folder that open_clip wrote."""
    tag: dict[str, Any] = field(default_factory=dict)
    """open_clip's entry for known weights: their location, and the preprocessing of their images."""


def is_open_clip(name: str) -> bool:
    """Return whether the name refers to a model of open_clip."""
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
    """Return the imported package open_clip. `name` is the name of the model for error messages.

    Raises
    ------
    MissingExtraError
        open_clip is not installed.
    ModelError
        open_clip cannot be imported.
    """
    try:
        with _quiet():
            import open_clip
    except ModuleNotFoundError as error:
        if error.name != "open_clip":
            raise ModelError(f"open_clip is installed, but lacks the package {error.name}.") from error
        raise MissingExtraError("open_clip_torch", "open-clip", f"The model {name!r}") from None
    except (ImportError, RuntimeError) as error:  # such as a torchvision that was built for another torch
        raise ModelError(
            f"open_clip is installed, but cannot be imported: {_brief(error)}. "
            "Its torchvision must be made for the torch beside it: install both together from one index."
        ) from error
    return open_clip


def find(open_clip: Any, name: str) -> Source:
    """Return the weights that a name refers to. Nothing is downloaded.

    Raises
    ------
    ModelError
        open_clip has no such architecture or weights, or a folder does not contain exactly one checkpoint.
    """
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
    # The weights were trained with one of two activations, which their entry names. open_clip would run OpenAI's RN50
    # with the other activation, and only warn.
    return Source(architecture, config | {"quick_gelu": bool(tag.get("quick_gelu"))}, tag=tag)


def _weights_in(folder: Path, name: str) -> Path:
    """Return the only checkpoint of a folder; safetensors are preferred. Raises ModelError for none or several."""
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
    """Return the model configuration of a file of open_clip. Raises ModelError if it cannot be read."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))["model_cfg"]
        return {**config, "text_cfg": dict(config["text_cfg"])}
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"Expected a configuration of open_clip with model_cfg and its text_cfg in {path} of the model {name!r}, "
            f"but it cannot be read: {type(error).__name__} {error}"
        ) from error


def check_text_tower(config: dict[str, Any], name: str) -> None:
    """Raise ModelError unless the configuration has a text tower like that of CLIP."""
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
    """Load the model of a source, and download its weights if they are known weights that are not on disk.

    Raises
    ------
    ModelError
        The weights cannot be fetched or loaded, or contain code.
    """
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
    """Return the file of known weights: from the hub's cache if it is there, else downloaded by open_clip."""
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
        except Exception as error:  # errors of the hub and of the network have no common base class
            problem = _brief(error)
    raise ModelError(
        f"The weights of {name!r} are neither on disk nor reachable ({problem}): give the path of a checkpoint in "
        "place of their name."
    )


def _brief(error: BaseException) -> str:
    """Return the message of an error on one line, shortened to 200 characters."""
    return shorten(str(error), 200, placeholder=" ...") or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Within this block, suppress the log messages and warnings of open_clip.

    open_clip logs by the functions of `logging`, which would add a permanent handler to a root logger without one.
    """
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
