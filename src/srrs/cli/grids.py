"""Commands on grids of runs: bench, table, plot, compare."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from srrs.cli.options import Json, folder, integers
from srrs.cli.resolved import Chosen
from srrs.cli.signature import Takes
from srrs.config import FIT_VIEWS
from srrs.errors import DataError, SettingsError, SrrsError


def bench(
    *,
    dataset: Annotated[str, typer.Option(help="A published data set: caltech101, dtd, cifar10n, ...")],
    root: Annotated[Path, typer.Option(help="Folder that holds the data set's folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the runs; a grid that is there goes on.")] = Path("runs"),
    methods: Annotated[str, typer.Option(help="Comma list; parts replaced as in `srrs(screen=bands)`.")] = "coop,srrs",
    noise: Annotated[str, typer.Option(help="Comma list of kind:rate, as in sym:0.5,pair:0.25.")] = "sym:0.5",
    shots: Annotated[str, typer.Option(help="Comma list of photographs per class, or all.")] = "16",
    seeds: Annotated[str, typer.Option(help="Comma list.")] = "1,2,3",
    protocol: Annotated[str, typer.Option(help="fp-injection or label-flip.")] = "fp-injection",
    as_published: Annotated[bool, typer.Option("--as-published", help="Draw the published generator's lists.")] = False,
    classes: Annotated[str | None, typer.Option(help="First k classes, base, new, or a comma list of names.")] = None,
    known: Annotated[list[Path] | None, typer.Option(help="Records that need not be computed again.")] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time on this machine.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Threads of each run.")] = None,
    ray: Annotated[str | None, typer.Option(help="Run on Ray: a cluster's address, or local.")] = None,
    chosen: Annotated[Chosen, Takes("model", "matcher", "views", "device", views=FIT_VIEWS)],
    as_json: Json = False,
) -> None:
    """Run a grid of methods, noise and seeds on a published data set; what is finished is not run again."""
    from srrs import pipeline
    from srrs.bench import grid as grids
    from srrs.console import Console
    from srrs.core.noise import NoiseSpec
    from srrs.data.published import read_dataset
    from srrs.methods.spec import split_list

    console = Console(as_json)
    sys.path.insert(0, str(Path.cwd()))  # where an outside method lies
    try:
        specs = tuple(NoiseSpec.parse(part) for part in noise.split(",") if part.strip())
    except ValueError as error:
        raise SettingsError(str(error)) from None
    wanted = grids.Grid(
        methods=tuple(split_list(methods)),
        noise=specs,
        shots=tuple(None if part.strip() == "all" else integers(part)[0] for part in shots.split(",")),
        seeds=tuple(integers(seeds)),
        settings=chosen.settings,
        protocol=protocol,
        as_published=as_published,
        classes=_classes(classes),
    )
    with console.progress("Encoding") as advance:
        runs = grids.plan(
            wanted, read_dataset(dataset, root), pipeline.load_models(chosen.settings), out, progress=advance
        )
    with console.progress("Runs") as advance:
        outcome = grids.carry_out(runs, known or [], processes=jobs, threads=threads, ray=ray, progress=advance)
    console.note(f"{len(outcome.records)} runs in {out}, {outcome.computed} of them new; see srrs table {out}")
    console.result({"records": [record.to_json() for record in outcome.records]})
    if outcome.failed:
        run, first = outcome.failed[0]
        raise SrrsError(f"{len(outcome.failed)} of {len(runs)} runs failed; {run.title}: {first}")


Paths = Annotated[list[Path], typer.Argument(help="Folders of runs, or JSONL files of records.")]
Format = Annotated[str, typer.Option("--format", help="text, markdown, latex or csv.")]
Methods = Annotated[str | None, typer.Option(help="Comma list of the methods to show, in this order.")]


def table(
    runs: Paths,
    metric: Annotated[str, typer.Option(help="Comma list, or all.")] = "accuracy",
    by: Annotated[str, typer.Option(help="What a row is: comma list of method, model.")] = "method",
    methods: Methods = None,
    shown: Format = "text",
    intervals: Annotated[bool, typer.Option("--intervals", help="With bootstrap intervals.")] = False,
    records: Annotated[Path | None, typer.Option(help="Also write the records themselves, as JSONL.")] = None,
    as_json: Json = False,
) -> None:
    """Tables of runs: mean, spread and n over seeds, one table for each data set, protocol and number of shots."""
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


def plot(
    runs: Paths,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("figures"),
    suffix: Annotated[str, typer.Option(help="svg or png.")] = "svg",
    methods: Methods = None,
    method: Annotated[str, typer.Option(help="Whose histogram to draw.")] = "srrs",
    as_json: Json = False,
) -> None:
    """Figures of runs: accuracy against noise, rectified noise over training, histogram with thresholds."""
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
        except DataError as error:  # records alone have no history to draw
            console.note(str(error))
            continue
        folder(out)
        files.append(out / f"{name}.{suffix}")
        save(figure, files[-1])
    console.say("written: " + ", ".join(str(file) for file in files))
    console.result({"files": [str(file) for file in files]})


def compare(runs: Paths, shown: Format = "text", as_json: Json = False) -> None:
    """Our table beside the published ones, where data set, protocol, backbone and rate match."""
    from srrs.bench.compare import compare as beside
    from srrs.bench.compare import render_comparison

    console, found = _found(runs, as_json)
    comparison = beside(found.records)
    _write(console, render_comparison(comparison, shown))
    console.result(
        {"rows": json.loads(comparison.table.to_json(orient="records")), "remarks": list(comparison.remarks)}
    )


def _found(runs: list[Path], as_json: bool) -> tuple[Any, Any]:
    from srrs.bench.records import read_records
    from srrs.console import Console

    console, found = Console(as_json), read_records(runs)
    for note in found.notes:
        console.note(note)
    if not found.records:
        raise DataError(f"Expected finished runs in {', '.join(map(str, runs))}, but found none.")
    return console, found


def _write(console: Any, text: str) -> None:
    """As it is: a rendered table must not be wrapped."""
    if not console.as_json:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


def _classes(text: str | None) -> Any:
    if text is None or text in ("base", "new"):
        return text
    return int(text) if text.isdigit() else tuple(part.strip() for part in text.split(","))
