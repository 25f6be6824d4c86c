"""Commands that read the records of runs: table, differences, plot, compare."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from srrs.cli.options import Json, folder
from srrs.errors import DataError

Paths = Annotated[list[Path], typer.Argument(help="Folders of runs, or JSONL files of records.")]
Format = Annotated[str, typer.Option("--format", help="text, markdown, latex or csv.")]
Methods = Annotated[str | None, typer.Option(help="Comma list of the methods to show, in this order.")]


def table(
    runs: Paths,
    metric: Annotated[str, typer.Option(help="Comma list of figures, or all.")] = "accuracy,macro_f1",
    by: Annotated[str, typer.Option(help="What makes a row: comma list of method, model.")] = "method",
    methods: Methods = None,
    shown: Format = "text",
    intervals: Annotated[bool, typer.Option(help="Show 95 % confidence intervals.")] = True,
    records: Annotated[Path | None, typer.Option(help="Also write the records themselves, as JSONL.")] = None,
    as_json: Json = False,
) -> None:
    """Show tables of runs. There is one for each dataset, protocol and number of shots, with means over seeds."""
    from srrs.bench.records import to_jsonl
    from srrs.bench.render import render
    from srrs.bench.table import METRICS
    from srrs.bench.table import table as tabulate
    from srrs.io import write_atomic
    from srrs.methods.spec import split_list

    console, found = _found(runs, as_json)
    names = tuple(METRICS) if metric == "all" else tuple(part.strip() for part in metric.split(","))
    wanted = split_list(methods) if methods else None
    frame = tabulate(found.records, by=by.split(","), metrics=names, methods=wanted)
    if records is not None:
        write_atomic(records, to_jsonl(found.records).encode())
        console.note(f"{len(found.records)} records in {records}")
    _write(console, render(frame, shown, intervals=intervals))
    console.result({"rows": json.loads(frame.to_json(orient="records"))})


def differences(
    runs: Paths,
    method: Annotated[str, typer.Option(help="Method that is compared with the others.")] = "srrs",
    shown: Format = "text",
    as_json: Json = False,
) -> None:
    """Compare a method with the best other method in each cell, in accuracy and macro-F1, over common seeds."""
    from srrs.bench.render import render_differences
    from srrs.bench.table import paired

    console, found = _found(runs, as_json)
    frame = paired(found.records, method)
    _write(console, render_differences(frame, shown))
    console.result({"rows": json.loads(frame.to_json(orient="records"))})


def plot(
    runs: Paths,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("figures"),
    suffix: Annotated[str, typer.Option(help="svg or png.")] = "svg",
    methods: Methods = None,
    method: Annotated[str, typer.Option(help="Method whose histogram is drawn.")] = "srrs",
    as_json: Json = False,
) -> None:
    """Draw figures of runs. They show accuracy by noise, noise over training, and a histogram with thresholds."""
    from srrs.bench.canvas import save
    from srrs.bench.figures import accuracy_figure, histogram_figure, noise_figure
    from srrs.methods.spec import split_list

    console, found = _found(runs, as_json)
    wanted, files = split_list(methods) if methods else None, []
    figures: dict[str, Callable[[], Any]] = {
        "accuracy": lambda: accuracy_figure(found.records, methods=wanted),
        "noise": lambda: noise_figure(found, methods=wanted),
        "histogram": lambda: histogram_figure(found, method),
    }
    for name, draw in figures.items():
        try:
            figure = draw()
        except DataError as error:  # without the folders of the runs, some figures have no data
            console.note(str(error))
            continue
        folder(out)
        files.append(out / f"{name}.{suffix}")
        save(figure, files[-1])
    console.say("written: " + ", ".join(str(file) for file in files))
    console.result({"files": [str(file) for file in files]})


def compare(runs: Paths, shown: Format = "text", as_json: Json = False) -> None:
    """Show runs beside published numbers for the same dataset, protocol and noise, and name other differences."""
    from srrs.bench.compare import compare as beside
    from srrs.bench.compare import render_comparison

    console, found = _found(runs, as_json)
    comparison = beside(found.records)
    _write(console, render_comparison(comparison, shown))
    console.result(
        {"rows": json.loads(comparison.table.to_json(orient="records")), "remarks": list(comparison.remarks)}
    )


def _found(runs: list[Path], as_json: bool) -> tuple[Any, Any]:
    """Return the console and the records of some runs. Print notes on the records. Raises DataError without records."""
    from srrs.bench.records import read_records
    from srrs.console import Console

    console, found = Console(as_json), read_records(runs)
    for note in found.notes:
        console.note(note)
    if len(codes := {record.code for record in found.records}) > 1:
        console.note(f"The runs were computed by {len(codes)} versions of the code; compare within one version.")
    if not found.records:
        raise DataError(f"Expected finished runs in {', '.join(map(str, runs))}, but found none.")
    return console, found


def _write(console: Any, text: str) -> None:
    """Write a rendered table to stdout without wrapping its lines, except with `--json`."""
    if not console.as_json:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
