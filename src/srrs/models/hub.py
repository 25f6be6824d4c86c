"""Functions that load models by hub name, by local path, or as `bundled`.

Only weights in safetensors are loaded. No code from a model is run.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from huggingface_hub import constants, get_repo_discussions, snapshot_download
from PIL import Image
from safetensors import SafetensorError
from transformers.image_processing_base import ImageProcessingMixin
from transformers.utils import logging as transformers_logging

from srrs.errors import MissingExtraError, ModelError, SrrsError
from srrs.models.base import VisionLanguage
from srrs.models.device import choose_device, choose_precision
from srrs.models.dual import DualEncoder
from srrs.models.fingerprint import digest
from srrs.models.frozen import kernel_for, pack
from srrs.models.openclip import load_open_clip
from srrs.models.openclip_weights import absolute_open_clip, is_open_clip
from srrs.models.preprocess import Preprocessing
from srrs.models.reach import is_reachable
from srrs.models.revision import commit_of, split_revision

DUAL_ENCODERS = {
    "clip": "CLIPModel",
    "siglip": "SiglipModel",
    "vision-text-dual-encoder": "VisionTextDualEncoderModel",
}
"""Classes of transformers for the types of dual encoders that can be loaded."""
BUNDLED = "bundled"
"""Name of the bundled model."""
CONVERTER = "SFconvertbot"
"""User name of the hub's bot that converts pickled weights to safetensors."""
MOST_LAYERS = 1000
"""Largest number of layers of a tower."""
LARGEST_SIZE = 10_000_000
"""Largest whole number in the configuration of a model, such as the size of its vocabulary."""
_LOG = logging.getLogger(__name__)


def load_model(
    name_or_path: str, device: str = "auto", precision: str = "auto", kernels: Literal["auto", "torch"] = "auto"
) -> VisionLanguage:
    """Load a frozen dual encoder.

    Parameters
    ----------
    name_or_path : a hub name, perhaps with a revision (`owner/name@commit`), a folder in the transformers format,
        `open_clip:ARCHITECTURE/PRETRAINED`, or `bundled`.
    device : auto (CUDA, then MPS, then CPU) or a device's name.
    precision : auto (bf16 on a CUDA device that computes it, else fp32), fp32, bf16 or fp16.
    kernels : torch (torch's own linear layers), or auto: oneDNN with packed weights on processors on which this is
        faster, and torch on others; see `srrs.models.frozen`.

    Raises
    ------
    ModelError
        The model is neither on disk nor reachable, a file of the model is missing, or its kind is not supported.
    MissingExtraError
        The model is one of open_clip, and the package open_clip is not installed.
    SettingsError
        The device or the precision is unknown or not available.
    """
    where = choose_device(device)
    dtype = choose_precision(precision, where)
    kernel = kernel_for(where, dtype) if kernels == "auto" else "torch"
    if is_open_clip(name_or_path):
        with loading(name_or_path):
            return checked(load_open_clip(name_or_path, where, dtype, kernel))
    folder = find_folder(name_or_path, "clip")
    with loading(name_or_path):
        model = load_weights(folder, DUAL_ENCODERS, name_or_path)
        tokenizer, preprocessing = load_tokenizer(folder, name_or_path), load_preprocessing(folder, name_or_path)
        fingerprint = digest(model, (folder / "config.json").read_bytes(), preprocessing, dtype, kernel)
        model = model.to(device=where, dtype=dtype)
        if kernel == "onednn-packed":
            pack(model)
        encoder = DualEncoder(
            model, tokenizer, preprocessing, name=name_or_path, fingerprint=fingerprint, revision=commit_of(folder)
        )
        return checked(encoder)


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Within this block, an error of another library becomes a ModelError that names the model.

    The libraries raise nearly any error for a file that is damaged or was edited. An error because the memory is full
    stays as it is.
    """
    try:
        yield
    except (SrrsError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        text = " ".join(f"{type(error).__name__} {error}".split())
        raise ModelError(
            f"The model {name!r} cannot be loaded. Probably one of its files is damaged or does not fit the others: "
            f"{text[:200]}"
        ) from error


def checked(model: VisionLanguage) -> VisionLanguage:
    """Return the model, after encoding a gray image with it. Raises ModelError if the features are not finite."""
    gray = Image.new("RGB", (8, 8), "gray")
    if not torch.isfinite(model.encode_images(model.preprocess(gray)[None])).all():
        raise ModelError(f"The model {model.name!r} gives features that are not finite: one of its files is damaged.")
    return model


def absolute_name(name_or_path: str) -> str:
    """Return a name that refers to the same model in every working directory. Paths become absolute."""
    if is_open_clip(name_or_path):
        return absolute_open_clip(name_or_path)
    return str(Path(name_or_path).resolve()) if Path(name_or_path).is_dir() else name_or_path


def find_folder(name_or_path: str, asset: str) -> Path:
    """Return the folder with the files of a model: a path, a folder of the package, or a folder in the hub's cache.

    For the name `bundled`, it is the folder `asset` of the package's assets. A model that is not in the cache is
    downloaded.

    Raises
    ------
    ModelError
        The model is not on disk, and it cannot be downloaded.
    """
    if name_or_path == BUNDLED:
        folder = Path(str(files("srrs"))) / "assets" / asset
        if not (folder / "config.json").is_file():
            raise ModelError(f"This installation of srrs holds no bundled {asset} model: install the released package.")
        return folder
    if Path(name_or_path).is_dir():
        return Path(name_or_path)
    repository, revision = split_revision(name_or_path)
    if _is_path(repository):
        raise ModelError(f"Expected the folder of a model at {name_or_path}, but there is none.")
    cached = find_cached(name_or_path)
    if cached is not None:
        return cached
    where = f"{constants.ENDPOINT}/{repository}" + (f"/tree/{revision}" if revision else "")
    if constants.HF_HUB_OFFLINE:
        raise ModelError(
            f"The model {name_or_path!r} is neither on disk (as safetensors) nor reachable offline: without --offline "
            f"(or HF_HUB_OFFLINE) it would be fetched from {where}. Fetch it once, or "
            "give the path of a folder that holds it, or --model bundled to try the small bundled pair."
        )
    _LOG.warning("The model %s is not on disk. Fetching it from %s", name_or_path, where)
    if is_reachable(repository):
        fetched = _from_hub(repository, local=False, revision=revision)
        if fetched is not None:
            return fetched
        raise ModelError(
            f"The model {name_or_path!r} has no safetensors weights on the hub; "
            "load it with transformers once, save it with save_pretrained, and give that folder's path."
        )
    raise ModelError(
        f"The model {name_or_path!r} is neither on disk (as safetensors) nor reachable at {where}: "
        "give the path of a folder that holds it, or --model bundled to try the small bundled pair."
    )


def _is_path(name: str) -> bool:
    """Return whether a name must be a path, so that the hub is not asked for it."""
    return name.startswith(("/", ".", "~")) or "\\" in name or name.count("/") > 1 or Path(name).is_absolute()


def find_cached(name: str) -> Path | None:
    """Return the folder of a model in the hub's cache; None if the cache has no safetensors weights of the model."""
    repository, revision = split_revision(name)
    return _from_hub(repository, local=True, revision=revision)


def load_weights(folder: Path, kinds: dict[str, str], name: str) -> Any:
    """Load the frozen model of a folder in float32.

    Parameters
    ----------
    folder : folder in the format of transformers.
    kinds : classes of transformers by model type.
    name : name of the model for error messages.

    Raises
    ------
    ModelError
        The type of the model is not in `kinds`, or weights are missing or cannot be loaded.
    """
    config = _read_json(folder / "config.json", name)
    kind = config.get("model_type")
    _check_sizes(config, name)
    if kind == "siglip2":
        raise ModelError(
            f"The model {name!r} is a SigLIP 2 of variable resolution (NaFlex), which srrs cannot use: "
            "take a variant of fixed resolution, such as google/siglip2-base-patch16-224."
        )
    if not isinstance(kind, str) or kind not in kinds:
        raise ModelError(f"Expected a model of type {', '.join(kinds)}, but {name!r} is of type {kind!r}.")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"The model {name!r} lacks safetensors weights: no such file in {folder}.")
    try:
        with _quiet():
            model, report = getattr(transformers, kinds[kind]).from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(f"The weights of {name!r} cannot be loaded: {_first_line(error)}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(f"The weights of {name!r} lack {len(missing)} tensors, {missing[0]} among them.")
    return model.eval().requires_grad_(False)


def load_tokenizer(folder: Path, name: str) -> Any:
    """Load the tokenizer of a folder. `name` is the name of the model for error messages.

    Raises
    ------
    MissingExtraError
        The tokenizer is one of SentencePiece, and the package sentencepiece is not installed.
    ModelError
        The files of the tokenizer are missing or cannot be loaded.
    """
    if not any((folder / file).is_file() for file in ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model")):
        raise ModelError(f"The model {name!r} lacks its tokenizer: no tokenizer.json in {folder}.")
    try:
        with _quiet():
            return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except ImportError as error:  # the first tokenizers of SigLIP
        raise MissingExtraError("sentencepiece", "siglip", f"The tokenizer of {name!r}") from error
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"The tokenizer of {name!r} cannot be loaded: {_first_line(error)}") from error


def load_preprocessing(folder: Path, name: str) -> Preprocessing:
    """Load the preprocessing of a folder, from the settings of its Pillow image processor.

    `name` is the name of the model for error messages.

    Raises
    ------
    ModelError
        The settings are missing, or name an image processor that transformers does not have.
    """
    try:
        with _quiet():
            settings, _ = ImageProcessingMixin.get_image_processor_dict(folder, local_files_only=True)
    except OSError as error:
        raise ModelError(f"The model {name!r} lacks preprocessor_config.json in {folder}.") from error
    kind = str(settings.get("image_processor_type") or settings.get("feature_extractor_type"))
    kind = kind.removesuffix("Fast").replace("FeatureExtractor", "ImageProcessor")
    processor = getattr(transformers, f"{kind}Pil", None)
    if processor is None:
        raise ModelError(f"Expected an image processor known to transformers, but {name!r} names {kind!r}.")
    with _quiet():
        return Preprocessing.of(processor.from_dict(settings))


def _from_hub(name: str, *, local: bool, revision: str | None = None) -> Path | None:
    """Return the folder of a hub model, downloaded unless `local`; None if there are no safetensors weights."""
    wanted = ["*.json", "*.txt", "*.model", "model*.safetensors"]
    try:
        folder = Path(
            snapshot_download(
                name, revision=revision, allow_patterns=wanted, ignore_patterns=["*/*"], local_files_only=local
            )
        )
    except Exception as error:  # HTTP errors of the client have no common public base class in all its versions
        if local:
            return None
        pinned = f" at revision {revision!r}" if revision else ""
        raise ModelError(f"The model {name!r} cannot be fetched{pinned}: {_first_line(error)}") from error
    if any(folder.glob("*.safetensors")):
        return folder
    if local and revision is None:  # a converted revision that was fetched before is in another snapshot folder
        beside = sorted(f.parent for f in folder.parent.glob("*/*.safetensors") if (f.parent / "config.json").exists())
        return beside[0] if beside else None
    try:
        converted = _converted_revision(name) if not local and revision is None else None
    except Exception as error:
        raise ModelError(f"The model {name!r} cannot be fetched: {_first_line(error)}") from error
    return _from_hub(name, local=False, revision=converted) if converted else None


def _converted_revision(name: str) -> str | None:
    """Return the revision in which the bot of the hub converted pickled weights to safetensors; None without one."""
    for request in get_repo_discussions(name):
        if request.is_pull_request and request.author == CONVERTER and request.status == "open":
            return request.git_reference
    return None


def _read_json(path: Path, name: str) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"The model {name!r} lacks {path.name}: no such file in {path.parent}.")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ModelError(f"The file {path.name} of the model {name!r} is not JSON: {error}") from error


def _check_sizes(config: dict[str, Any], name: str) -> None:
    """Raise ModelError for a size in config.json for which transformers would fill the memory before it fails."""
    for key, value in config.items():
        if isinstance(value, dict):
            _check_sizes(value, name)
        elif isinstance(value, int) and value > (MOST_LAYERS if key == "num_hidden_layers" else LARGEST_SIZE):
            raise ModelError(f"The file config.json of the model {name!r} states {key} {value:,}, which is too large.")


def _first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Within this block, suppress the progress bars and remarks of transformers. Errors are still raised."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
