"""The command `bench`, which computes a grid of runs."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srrs.cli.options import Json, Ray, Shard, folder, integers
from srrs.cli.resolved import Chosen
from srrs.cli.signature import Takes
from srrs.config import FIT_VIEWS, Settings
from srrs.errors import SettingsError, SrrsError

if TYPE_CHECKING:
    from srrs.bench.grid import Grid
    from srrs.bench.own import OwnData
    from srrs.console import Advance
    from srrs.core.noise import NoiseSpec

SETTINGS = Takes("model", "matcher", "views", "device", views=FIT_VIEWS, matcher="none")
"""Settings for which the command has its own options."""


@dataclass(frozen=True)
class Dataset:
    """Options that name the dataset of a grid."""

    dataset: Annotated[
        str | None,
        typer.Option(
            help="A published dataset (caltech101, dtd, cifar10n, ...), or your own as folder:PATH, table:FILE or "
            "features:FILE."
        ),
    ] = None
    root: Annotated[Path | None, typer.Option(help="Folder that holds the folder of a published dataset.")] = None
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Table of ids and true labels of your own dataset, such as decisions.csv. If it names some images "
            "only, these are the test set."
        ),
    ] = None
    label: Annotated[str | None, typer.Option(help="Column of your table that holds the given labels.")] = None
    images: Annotated[str | None, typer.Option(help="Folder that the paths of your table start from.")] = None

    def read(self, model: str, progress: "Advance") -> "OwnData":
        """Return a published dataset, or one of the user's own.

        `model` is the name of the model. Raises SettingsError if an option is missing or not allowed, and DataError if
        the dataset cannot be read.
        """
        from srrs.bench.own import OwnData, is_own, read_own
        from srrs.data.published import read_dataset
        from srrs.models.base import NO_MODEL

        if self.dataset is None:
            raise SettingsError("expected --dataset: the name of a published dataset, or folder:PATH of your own")
        if is_own(self.dataset):
            return read_own(
                self.dataset, self.truth, label=self.label, images=self.images, bare=model == NO_MODEL,
                progress=progress,
            )  # fmt: skip
        if self.truth is not None:
            raise SettingsError("--truth names the true labels of a dataset of your own: give --dataset folder:PATH")
        if self.root is None:
            raise SettingsError(f"expected --root, the folder that holds the published dataset {self.dataset}")
        return OwnData(read_dataset(self.dataset, self.root))


@dataclass(frozen=True)
class Cells:
    """Options that name the cells of a grid."""

    methods: Annotated[str, typer.Option(help="Comma list of methods. Replace parts as in `srrs(screen=bands)`.")] = (
        "coop,srrs"
    )
    noise: Annotated[
        str | None,
        typer.Option(
            help="Comma list of kind:rate, as in sym:0.5,near:0.2,open:0.2,sym:0.2+tail:10. Kinds: sym, pair, near, "
            "half, inst, instance, open, matrix, human.  [default: human with --truth, else sym:0.5]"
        ),
    ] = None
    shots: Annotated[str, typer.Option(help="Comma list of images per class, or all.")] = "16"
    seeds: Annotated[str, typer.Option(help="Comma list.")] = "1,2,3"
    protocol: Annotated[
        str, typer.Option(help="fp-injection (as many images of each given class) or label-flip (of each true class).")
    ] = "fp-injection"
    as_published: Annotated[
        bool, typer.Option("--as-published", help="Draw the noise lists of the published generator.")
    ] = False
    classes: Annotated[str | None, typer.Option(help="First k classes, base, new, or a comma list of names.")] = None

    def grid(self, settings: Settings, usual_noise: str) -> "Grid":
        """Return the grid. Raises SettingsError if the text of an option cannot be read.

        `usual_noise` is the noise without the option `--noise`.
        """
        from srrs.bench.grid import Grid
        from srrs.methods.spec import split_list

        return Grid(
            methods=tuple(split_list(self.methods)),
            noise=noise_specs(self.noise or usual_noise),
            shots=tuple(None if part.strip() == "all" else integers(part)[0] for part in self.shots.split(",")),
            seeds=tuple(integers(self.seeds)),
            settings=settings,
            protocol=self.protocol,
            as_published=self.as_published,
            classes=_classes(self.classes),
        )


def bench(
    *,
    source: Dataset,
    out: Annotated[Path, typer.Option(help="Folder for the runs. An interrupted grid continues.")] = Path("runs"),
    cells: Cells,
    known: Annotated[
        list[Path] | None,
        typer.Option(help="Records of earlier runs of the same code, which are not computed again; repeatable."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Number of runs at a time on this machine, each in one thread.")] = 1,
    shard: Shard = None,
    ray: Ray = None,
    chosen: Annotated[Chosen, SETTINGS],
    as_json: Json = False,
) -> None:
    """Run a grid of methods, noise and seeds on a dataset. Skips runs that the same code has finished."""
    from srrs import pipeline
    from srrs.bench import grid as grids
    from srrs.cluster import on_ray
    from srrs.console import Console
    from srrs.data.parts import Part
    from srrs.lock import only_run

    console, settings, part = Console(as_json), chosen.settings, Part.parse(shard) if shard else None
    sys.path.insert(0, str(Path.cwd()))  # so that methods from a module in the working directory can be imported
    with console.progress("Reading the dataset") as advance:
        data = source.read(settings.model.name, advance)
    human = data.dataset.train.given is not None and (source.truth is not None or data.given is not None)
    wanted = cells.grid(settings, "human" if human else "sym:0.5")
    with only_run(folder(out), part.suffix if part else ""):
        chosen.write(out, "bench")
        with on_ray(ray) as spread:
            with console.progress("Encoding") as advance:
                models = pipeline.load_models(settings, data.given.embeddings if data.given else None)
                elsewhere = pipeline.workers(spread, settings)
                runs = grids.plan(
                    wanted, data.dataset, models, out, given=data.given, progress=advance, elsewhere=elsewhere
                )
            if part:
                runs = runs[part.number - 1 :: part.count]
            with console.progress("Runs") as advance:
                outcome = grids.carry_out(runs, known or [], processes=jobs, ray=ray, progress=advance)
    console.note(f"{len(outcome.records)} runs in {out}, {outcome.computed} of them new; see srrs table {out}")
    console.result({"records": [record.to_json() for record in outcome.records]})
    if outcome.failed:
        run, first = outcome.failed[0]
        raise SrrsError(f"{len(outcome.failed)} of {len(runs)} runs failed; {run.title}: {first}")


def noise_specs(text: str) -> "tuple[NoiseSpec, ...]":
    """Return the noise specifications of a comma list. Raises SettingsError if a text is not valid."""
    from srrs.core.noise import NoiseSpec

    try:
        return tuple(NoiseSpec.parse(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _classes(text: str | None) -> int | str | tuple[str, ...] | None:
    """Return the subset of classes that a text names, see `srrs.data.published.subset`."""
    if text is None or text in ("base", "new"):
        return text
    return int(text) if text.isdigit() else tuple(part.strip() for part in text.split(","))
