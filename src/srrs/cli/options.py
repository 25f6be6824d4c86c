"""What several commands share: options, and how their texts are read."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from srrs.errors import DataError, SettingsError

Source = Annotated[str, typer.Argument(help="Folder with one subfolder per class, a table, or a stored data set.")]
Model = Annotated[
    str | None,
    typer.Option(
        help="Hub name or path of a CLIP-like model, open_clip:ARCHITECTURE/PRETRAINED, `bundled`, or `none`."
    ),
]
MatcherOption = Annotated[str | None, typer.Option(help="auto, none, or hub name or path of a BLIP matcher.")]
Method = Annotated[str | None, typer.Option(help="srrs, gce, coop, ...; its parts as in `srrs(screen=bands)`.")]
Names = Annotated[Path | None, typer.Option(help="JSON, YAML or CSV that maps class codes to words.")]
Images = Annotated[str | None, typer.Option(help="Folder that a table's paths start from, or a comma list of some.")]
PathColumn = Annotated[str | None, typer.Option("--path", help="Column of a table that holds the paths.")]
LabelColumn = Annotated[str | None, typer.Option("--label", help="Column of a table that holds the labels.")]
IdColumn = Annotated[str | None, typer.Option("--id", help="Column of a table that holds the row ids.")]
Descriptions = Annotated[Path | None, typer.Option(help="JSON {class name: what it looks like}.")]
Minutes = Annotated[float, typer.Option(help="Time for encoding augmented views; the plain view is always encoded.")]
Seed = Annotated[int | None, typer.Option(help="Of every random draw.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Any other setting, as name=value; may be repeated.")]
Track = Annotated[list[str] | None, typer.Option(help="tensorboard:FOLDER, wandb:PROJECT or mlflow:URI; repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]

Budget = Annotated[int | None, typer.Option(min=1, help="Photographs you can look at: they come first, in review.csv.")]
Trusted = Annotated[Path | None, typer.Option(help="decisions.csv of an earlier audit, taken for certain.")]
Cleanvision = Annotated[bool, typer.Option("--cleanvision", help="Flag what cleanvision finds, too; an extra.")]
FailAbove = Annotated[
    float | None, typer.Option(min=0, max=1, help="Exit with status 1 where more labels are estimated wrong, 0 to 1.")
]

AUDIT_STEPS = 30
"""Half of a fit's. What `srrs` says of labels does not depend on the steps, only what the tuned prompts see does."""


def integers(text: str) -> list[int]:
    """A comma list of whole numbers."""
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers:
        raise SettingsError(f"expected a comma list of whole numbers such as 1,2,3, but found {text!r}")
    return numbers


def read_settings(pairs: list[str] | None, **values: Any) -> Any:
    """Settings from the options that were given and the `name=value` pairs of `--set`."""
    from srrs.config import Settings

    chosen = {name: value for name, value in values.items() if value is not None}
    for pair in pairs or []:
        name, equals, text = pair.partition("=")
        if not equals:
            raise SettingsError(f"expected --set name=value, but found {pair!r}")
        try:
            chosen[name] = json.loads(text)
        except ValueError:
            chosen[name] = text
    return Settings.of(chosen)


def audit_settings(pairs: list[str] | None, **values: Any) -> Any:
    """The settings of an audit: with `srrs` it takes `AUDIT_STEPS` unless told otherwise."""
    chosen = read_settings(pairs, **values)
    return read_settings(pairs, steps=AUDIT_STEPS, **values) if chosen.tuning.method == "srrs" else chosen


def folder(path: Path) -> Path:
    """The folder to write to, made before the work rather than after it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"Expected a folder to write to at {path}, but it cannot be made: {error.strerror}.") from None
    return path


SourceOrNone = Annotated[
    str | None,
    typer.Argument(help="Folder with one subfolder per class, a table, a stored data set, or embeddings with labels."),
]
FeaturesOption = Annotated[
    Path | None,
    typer.Option("--features", help="Embeddings of the rows (npz, safetensors, parquet, or a folder of srrs embed)."),
]
ClassVectorsOption = Annotated[
    Path | None, typer.Option("--class-vectors", help="A file of class vectors, for --model none; see docs/inputs.md.")
]
