"""Options that several commands share, as dataclasses, and functions that read the texts of options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from srrs.errors import DataError, SettingsError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Ray = Annotated[
    str | None,
    typer.Option(help="Spread the work over a Ray cluster: its address, or local. Nodes must see the same folders."),
]
Shard = Annotated[
    str | None, typer.Option(help="Compute one of n parts, as i/n; the parts can run side by side.", show_default=False)
]
Source = Annotated[
    str | None,
    typer.Argument(
        help="Folder with one subfolder per class, table of paths and labels, stored dataset, tar or parquet shards, "
        "file of embeddings with labels, or the URL of one of these."
    ),
]


@dataclass(frozen=True)
class Columns:
    """Options for reading a folder or a table."""

    names: Annotated[Path | None, typer.Option(help="JSON, YAML or CSV file that maps class codes to class names.")] = (
        None
    )
    images: Annotated[
        str | None,
        typer.Option(help="Folder from which the paths of a table start, or a comma list of folders."),
    ] = None
    path: Annotated[str | None, typer.Option(help="Column of a table that holds the paths.")] = None
    label: Annotated[str | None, typer.Option(help="Column of a table that holds the labels.")] = None
    id: Annotated[
        str | None,
        typer.Option(
            "--id", help="Column of a table that holds the ids. Rows with equal ids are images of one object."
        ),
    ] = None
    merge_case: Annotated[
        bool, typer.Option("--merge-case", help="Read labels that differ only in case ('Dog', 'dog') as one class.")
    ] = False

    def keywords(self) -> dict[str, Any]:
        """Return the options as keyword arguments of the functions that read sources."""
        return {
            "names": self.names,
            "images": self.images,
            "path_column": self.path,
            "label_column": self.label,
            "id_column": self.id,
            "merge_case": self.merge_case,
        }


@dataclass(frozen=True)
class Embedded:
    """Options that name files of embeddings."""

    features: Annotated[
        str | None,
        typer.Option(
            help="Embeddings of the rows: npz, safetensors, parquet, a folder of srrs embed, or a URL of these."
        ),
    ] = None
    class_vectors: Annotated[
        str | None, typer.Option(help="File of class vectors, or its URL, for --model none; see docs/inputs.md.")
    ] = None


@dataclass(frozen=True)
class Working:
    """Options of a run that are not settings."""

    descriptions: Annotated[Path | None, typer.Option(help="JSON file that maps class names to descriptions.")] = None
    max_minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Stop adding augmented views after this time. The result then depends on the speed of the machine.",
        ),
    ] = None
    ray: Ray = None
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not download a model. The error says what would be downloaded.")
    ] = False
    cleanvision: Annotated[
        bool, typer.Option("--cleanvision", help="Add the flags of cleanvision; needs srrs[cleanvision].")
    ] = False
    track: Annotated[
        list[str] | None,
        typer.Option(help="Tracker: tensorboard:FOLDER, wandb:PROJECT or mlflow:URI; repeatable."),
    ] = None


def integers(text: str) -> list[int]:
    """Return the integers of a comma list. Raises SettingsError if it contains anything else, or nothing."""
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers:
        raise SettingsError(f"expected a comma list of whole numbers such as 1,2,3, but found {text!r}")
    return numbers


def folder(path: Path) -> Path:
    """Create an output folder before the work begins, and return it. Raises DataError if this is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"Expected a folder to write to at {path}, but it cannot be made: {error.strerror}.") from None
    return path


def go_offline() -> None:
    """Forbid downloads from the Hugging Face hub, even if its client is already imported."""
    import os
    import sys

    os.environ["HF_HUB_OFFLINE"] = "1"
    if constants := sys.modules.get("huggingface_hub.constants"):
        constants.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
