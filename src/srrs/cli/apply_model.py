"""Commands that use a model without labels: predict, embed."""

from pathlib import Path
from typing import Annotated

import typer

from srrs.cli.options import Columns, Json, Ray, Shard, Source, folder
from srrs.cli.resolved import Chosen
from srrs.cli.signature import Takes
from srrs.errors import SettingsError

OFFLINE = Annotated[
    bool, typer.Option("--offline", help="Do not download a model. The error says what would be downloaded.")
]


def predict(
    model_folder: Annotated[Path, typer.Argument(help="Folder that `srrs fit` wrote.")],
    source: Annotated[
        str | None, typer.Argument(help="Folder of images, table of paths, single image, or file of embeddings.")
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="Embeddings of the rows: npz, safetensors, parquet, a folder of srrs embed, or a URL of these."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="CSV file to write. Without it, the table is printed.")] = None,
    images: Annotated[str | None, typer.Option(help="Folder that the paths of a table start from.")] = None,
    path: Annotated[str | None, typer.Option(help="Column of a table that holds the paths.")] = None,
    row_id: Annotated[str | None, typer.Option("--id", help="Column of a table that holds the row ids.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.", show_default="auto")] = None,
    offline: OFFLINE = False,
    as_json: Json = False,
) -> None:
    """Predict the class of new images."""
    from srrs.cli.job import read_input
    from srrs.cli.options import Embedded, go_offline
    from srrs.console import Console
    from srrs.data.tables import csv_bytes
    from srrs.estimator import RobustClassifier
    from srrs.io import write_atomic
    from srrs.predictions import table

    if offline:
        go_offline()
    console = Console(as_json)
    classifier = RobustClassifier.load(model_folder, device=device)
    columns = Columns(images=images, path=path, id=row_id)
    inputs = read_input(console, source, columns, Embedded(features), labeled=False)
    with console.progress("Encoding images") as advance:
        probs = classifier.predict_inputs(inputs, advance)
    frame = table(inputs.samples, probs, classifier.classes_)
    if out is not None:
        write_atomic(out, csv_bytes(frame, None))
        console.say(f"{len(frame)} predictions in {out}")
    else:
        console.say(frame.to_string(index=False))
    console.result({"predictions": frame.astype(object).where(frame.notna(), None).to_dict("records")})


def embed(
    source: Source = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for features.safetensors and samples.csv.")],
    columns: Columns,
    chosen: Annotated[Chosen, Takes("model", "views", "seed", "device", others=False, views=0, matcher="none")],
    shard: Shard = None,
    ray: Ray = None,
    offline: OFFLINE = False,
    as_json: Json = False,
) -> None:
    """Encode images and write their features."""
    from srrs import pipeline
    from srrs.cli.job import read_any
    from srrs.cli.options import go_offline
    from srrs.cluster import on_ray
    from srrs.console import Console, with_estimate
    from srrs.data.parts import Part
    from srrs.lock import only_run

    if source is None:
        raise SettingsError("expected a source: a folder or a table of images")
    if offline:
        go_offline()
    console, settings = Console(as_json), chosen.settings
    part = Part.parse(shard) if shard else None
    with only_run(folder(out), part.suffix if part else ""), on_ray(ray) as spread:
        samples, part = read_any(console, source, columns, part, spread)
        models = pipeline.load_models(settings)
        with console.progress("Encoding") as advance:
            timed = with_estimate(advance, settings.data.views or 0, console.note)
            files = pipeline.write_features(
                out, samples, models, settings, progress=timed, part=part,
                elsewhere=pipeline.workers(spread, settings),
            )  # fmt: skip
    written, skipped = _rows(files[1]), len(samples) - _rows(files[1])
    console.say(f"features of {written} images in {files[0]}" + (f"; {skipped} skipped" if skipped else ""))
    if skipped:
        issues = [f"{samples.ids[row]}: {issue}" for row, issue in enumerate(samples.issues) if issue]
        console.note(f"skipped {', '.join(issues[:3])}{', ...' if skipped > 3 else ''}")
    console.result({"images": written, "skipped": skipped, "files": [str(f) for f in files]})


def _rows(table: Path) -> int:
    """Return the number of rows of a CSV file, without its header."""
    import csv

    with table.open(newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.reader(file)) - 1
