"""The command `export`, which writes an audit, a tuned classifier or features in the format of another tool."""

from pathlib import Path
from typing import Annotated

import typer

from srrs.cli.options import Json
from srrs.errors import SettingsError

FORMATS = ("csv", "parquet", "json", "fiftyone", "label-studio", "datalab", "onnx", "lance")
"""Names of the formats."""
BY_SUFFIX = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".json": "json",
    ".onnx": "onnx",
    ".lance": "lance",
}
"""Format for each suffix of the output file."""


def export(
    source: Annotated[
        Path, typer.Argument(help="Folder that `srrs audit`, `srrs fit` or `srrs embed` wrote, or an audit.json.")
    ],
    out: Annotated[Path, typer.Option(help="File to write; a folder for fiftyone, label-studio and lance.")],
    shown: Annotated[str | None, typer.Option("--format", help=f"One of {', '.join(FORMATS)}; or by --out.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder that the audit's relative paths start from.")] = None,
    served: Annotated[Path, typer.Option(help="Folder whose files Label Studio serves.")] = Path("/"),
    as_json: Json = False,
) -> None:
    """Export an audit, a tuned classifier or features for other tools."""
    from srrs.audit.apply import read_audit
    from srrs.console import Console
    from srrs.estimator import RobustClassifier
    from srrs.export.datalab import write_datalab
    from srrs.export.fiftyone import write_fiftyone
    from srrs.export.label_studio import write_label_studio
    from srrs.export.lance import write_lance
    from srrs.export.parquet import write_parquet

    console, wanted = Console(as_json), _format(shown, out)
    if wanted == "onnx":
        files = [*RobustClassifier.load(source).to_onnx(out)]
    elif wanted == "lance":
        files = [write_lance(source, out)]
    else:
        audit = read_audit(source)
        write = {
            "csv": lambda: audit.to_csv(out),
            "parquet": lambda: write_parquet(audit, out),
            "json": lambda: audit.to_json(out),
            "fiftyone": lambda: write_fiftyone(audit, out, images),
            "label-studio": lambda: write_label_studio(audit, out, images, served),
            "datalab": lambda: write_datalab(audit, out),
        }
        files = [write[wanted]()]
    console.say("written: " + ", ".join(str(file) for file in files))
    console.result({"format": wanted, "files": [str(file) for file in files]})


def _format(asked: str | None, out: Path) -> str:
    """Return the format that is asked for or, without one, that of the output file. Raises SettingsError if unknown."""
    if asked == "imagefolder":
        raise SettingsError(
            "an image folder with the decided labels is written by srrs apply AUDIT --to FOLDER, which also undoes it"
        )
    name = asked or BY_SUFFIX.get(out.suffix.lower())
    if name not in FORMATS:
        found = f"found {asked}" if asked else f"{out} ends with none of {', '.join(BY_SUFFIX)}"
        raise SettingsError(f"expected one of the formats {', '.join(FORMATS)} in --format, but {found}")
    return name
