"""Commands on grids of runs: bench, table, plot, compare."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from srrs.cli.options import Device, Json, MatcherOption, Model, Set, integers, read_settings
from srrs.errors import SettingsError, SrrsError


def bench(
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
    model: Model = None,
    matcher: MatcherOption = None,
    device: Device = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Run a grid of methods, noise and seeds on a published data set; what is finished is not run again."""
    from srrs import pipeline
    from srrs.bench import grid as grids
    from srrs.console import Screen
    from srrs.core.noise import NoiseSpec
    from srrs.data.published import read_dataset
    from srrs.methods.spec import split_list

    screen = Screen(as_json)
    sys.path.insert(0, str(Path.cwd()))  # where an outside method lies
    chosen = read_settings(settings, model=model, matcher=matcher, device=device)
    try:
        specs = tuple(NoiseSpec.parse(part) for part in noise.split(",") if part.strip())
    except ValueError as error:
        raise SettingsError(str(error)) from None
    wanted = grids.Grid(
        methods=tuple(split_list(methods)),
        noise=specs,
        shots=tuple(None if part.strip() == "all" else integers(part)[0] for part in shots.split(",")),
        seeds=tuple(integers(seeds)),
        settings=chosen,
        protocol=protocol,
        as_published=as_published,
        classes=_classes(classes),
    )
    with screen.progress("Encoding") as advance:
        runs = grids.plan(wanted, read_dataset(dataset, root), pipeline.load_models(chosen), out, progress=advance)
    with screen.progress("Runs") as advance:
        outcome = grids.carry_out(runs, known or [], processes=jobs, threads=threads, ray=ray, progress=advance)
    screen.note(f"{len(outcome.records)} runs in {out}, {outcome.computed} of them new; see srrs table {out}")
    screen.result({"records": [record.to_json() for record in outcome.records]})
    if outcome.failed:
        run, first = outcome.failed[0]
        raise SrrsError(f"{len(outcome.failed)} of {len(runs)} runs failed; {run.title}: {first}")


def _classes(text: str | None) -> Any:
    if text is None or text in ("base", "new"):
        return text
    return int(text) if text.isdigit() else tuple(part.strip() for part in text.split(","))
