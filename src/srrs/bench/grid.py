"""A grid of runs: methods × noise × shots × seeds on one dataset. Each run has a folder. A grid can be continued."""

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from srrs import pipeline
from srrs.bench import jobs
from srrs.bench.feature_cache import VIEW_SEED, make_cache
from srrs.bench.records import Record, read_records
from srrs.bench.run import Run
from srrs.config import Settings
from srrs.core.noise import NoiseSpec
from srrs.data.folders import is_picture
from srrs.data.inputs import Inputs
from srrs.data.protocols import BY_FEATURES, Draw, draw
from srrs.data.published.base import DataSet, Split, subset
from srrs.data.samples import Progress, checked, from_paths
from srrs.errors import DataError, SettingsError, SrrsError
from srrs.features.store import Elsewhere
from srrs.methods.spec import canonical
from srrs.methods.spec import method as method_named
from srrs.models.base import Models
from srrs.records import Floats, Ints

SHARED = ".shared"
"""Name of the folder with the features that the runs of a grid share."""
NO_CLASS = -1
"""Class number of images that belong to no class."""


@dataclass(frozen=True)
class Grid:
    """The runs to compute. Raises SettingsError for a field without values, and for an unknown method."""

    methods: tuple[str, ...]
    """Names of the methods."""
    noise: tuple[NoiseSpec, ...]
    """Noise settings."""
    shots: tuple[int | None, ...]
    """Images per class; None for all."""
    seeds: tuple[int, ...]
    """Seeds of the draws and of the training."""
    settings: Settings
    """Settings of all runs, apart from the method and the seed."""
    protocol: str = "fp-injection"
    """Name of the protocol, see `srrs.data.protocols`."""
    as_published: bool = False
    """Whether labels are drawn with the faults of the published generator."""
    classes: int | str | tuple[str, ...] | None = None
    """A subset of the classes, see `srrs.data.published.subset`; None for all."""

    def __post_init__(self) -> None:
        for name in ("methods", "noise", "shots", "seeds"):
            if not getattr(self, name):
                raise SettingsError(f"Expected at least one of {name}, but found none.")
        for method in self.methods:
            method_named(method, {"noise_rate": 0.5})  # refuses an unknown method before anything is encoded

    def cells(self) -> Iterator[tuple[NoiseSpec, int | None, int]]:
        """Yield the noise, shots and seed of each draw once.

        Noise of rate 0 is the same draw for symmetric and pair noise, except with `as_published`.
        """
        seen = set()
        for noise in self.noise:
            same = noise.rate == 0 and noise.kind in ("sym", "pair") and not self.as_published
            spec = replace(noise, kind="sym") if same else noise
            for shots in self.shots:
                for seed in self.seeds:
                    if (str(spec), shots, seed) not in seen:
                        seen.add((str(spec), shots, seed))
                        yield spec, shots, seed


@dataclass
class GridResult:
    """The result of a grid."""

    records: list[Record] = field(default_factory=list)
    """Records of this grid, in the order of its runs."""
    computed: int = 0
    """Number of runs that were computed now."""
    failed: list[tuple[Run, SrrsError]] = field(default_factory=list)
    """Runs that failed, each with the error that the user can correct."""


def plan(
    grid: Grid,
    dataset: DataSet,
    models: Models,
    out: Path,
    *,
    given: Inputs | None = None,
    progress: Progress | None = None,
    elsewhere: Elsewhere | None = None,
) -> list[Run]:
    """Draw the images and labels of every cell, encode the images once, and return the runs.

    Parameters
    ----------
    grid : the runs to plan.
    dataset : the dataset with all its classes.
    models : the models of the grid.
    out : folder of the grid.
    given : features of the user's own dataset, see `srrs.bench.own`.
    progress : called as images are encoded.
    elsewhere : function that encodes on a cluster, see `srrs.features.store`.

    Raises
    ------
    DataError
        The dataset does not allow one of the draws, or an image cannot be read.
    """
    named = dataset if grid.classes is None else subset(dataset, grid.classes)
    train = _with_outsiders(dataset, named, grid)
    features = _all_features(train, models, given) if _asks_for_features(grid) else None
    draws = {cell: _draw(train, named.class_names, grid, cell, features) for cell in grid.cells()}
    rows = np.unique(np.concatenate([d.rows for d in draws.values()]))
    whole = replace(named, train=train, name=_name(dataset, named))
    cache = make_cache(
        whole, rows, models, grid.settings, out / SHARED, given=given, progress=progress, elsewhere=elsewhere
    )
    runs = []
    for (noise, shots, seed), drawn in draws.items():
        paths = tuple(train.paths[row] for row in drawn.rows)
        for method in grid.methods:
            run = Run(
                cache=cache,
                out=out,
                noise=noise,
                protocol=grid.protocol,
                as_published=grid.as_published,
                shots=shots,
                settings=grid.settings.with_(method=canonical(method), seed=seed),
                paths=paths,
                draw=drawn,
                truth_known=train.truth_known,
            )
            runs.append(run)
    return runs


def carry_out(
    runs: Sequence[Run],
    known: Sequence[Path],
    *,
    processes: int = 1,
    ray: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> GridResult:
    """Compute the runs without a result, and return the records of all runs.

    A result may be in the folder of the run, or in one of the `known` files. After a KeyboardInterrupt, the results of
    finished runs stay. The next call continues the others from their checkpoints.

    Parameters
    ----------
    runs : the result of `plan`.
    known : files or folders with records of runs that need not be computed again.
    processes : number of runs that are computed at a time.
    ray : address of a Ray cluster that computes the runs instead.
    progress : called with the number of finished runs and of all runs.

    Raises
    ------
    DataError
        One of the records cannot be read.
    """
    finished = {r.digest: r for r in read_records([*known, *(r.folder for r in runs if r.folder.exists())]).records}
    left = [run for run in runs if run.digest not in finished]
    outcome, done = GridResult(computed=len(left)), len(runs) - len(left)
    if progress:
        progress(done, len(runs))
    with closing(_outcomes(left, processes, ray)) as outcomes:
        for run, result in outcomes:
            if isinstance(result, SrrsError):
                outcome.failed.append((run, result))
            else:
                finished[run.digest] = result
            done += 1
            if progress:
                progress(done, len(runs))
    outcome.records = [finished[run.digest] for run in runs if run.digest in finished]
    return outcome


def _outcomes(left: Sequence[Run], processes: int, ray: str | None) -> Generator[jobs.Finished, None, None]:
    """Return the generator that computes the runs: on a cluster, in several processes or in this process."""
    if ray:
        return jobs.on_ray(left, ray)
    if processes > 1:
        return jobs.processes(left, processes)
    return jobs.here(left)


def _draw(
    train: Split,
    class_names: tuple[str, ...],
    grid: Grid,
    cell: tuple[NoiseSpec, int | None, int],
    features: Floats | None,
) -> Draw:
    """Draw the images and labels of a cell. Raises DataError if noise is to be added to unknown true labels."""
    noise, shots, seed = cell
    if train.given is not None and noise.kind != "human" and not train.truth_known:
        raise DataError(
            f"The true labels of this dataset are unknown, so {noise} noise cannot be added. Use --noise human."
        )
    return draw(
        train.labels,
        train.paths,
        len(class_names),
        noise,
        protocol=grid.protocol,
        shots=shots,
        seed=seed,
        as_published=grid.as_published,
        class_names=class_names,
        features=features,
        given=train.given,
    )


def _with_outsiders(dataset: DataSet, named: DataSet, grid: Grid) -> Split:
    """Return the training split of the named classes; for open-set noise, with images of no class at the end.

    These images come from the folders of the noise settings or, without such folders, from the other classes of the
    dataset. Raises DataError for a folder without images.
    """
    wanted = [noise for noise in grid.noise if noise.kind == "open"]
    train = named.train
    if not wanted:
        return train
    files: dict[str, Path] = {}
    for noise in wanted:
        if noise.source:
            found = sorted(p for p in Path(noise.source).rglob("*") if is_picture(p.name))
            if not found:
                raise DataError(f"Expected a folder of images of no class at '{noise.source}', but found none.")
            files.update({f"open:{path.relative_to(noise.source).as_posix()}": path for path in found})
    if not files:
        inside = set(named.train.paths)
        files = {p: f for p, f in zip(dataset.train.paths, dataset.train.files, strict=True) if p not in inside}
    return replace(
        train,
        paths=(*train.paths, *files),
        files=(*train.files, *files.values()),
        labels=np.concatenate([train.labels, np.full(len(files), NO_CLASS)]),
        given=None,
        verified=None,
    )


def _name(dataset: DataSet, named: DataSet) -> str:
    """Return the dataset's name; for a subset, with a digest of its classes."""
    if named is dataset:
        return dataset.name
    return f"{dataset.name}-{hashlib.sha256(json.dumps(named.class_names).encode()).hexdigest()[:6]}"


def _asks_for_features(grid: Grid) -> bool:
    """Return whether the grid has noise that depends on the features of the images."""
    return any(noise.kind in BY_FEATURES for noise in grid.noise)


def _all_features(train: Split, models: Models, given: Inputs | None) -> Floats:
    """Return the plain features (n, D) of the n images of a split, for noise that depends on the images."""
    if given is not None and given.features is not None:
        place = {id: row for row, id in enumerate(given.samples.ids)}
        at = np.array([place[path] for path in train.paths])
        return np.asarray(given.features.take(at, 0).plain_rows(), np.float32)
    samples = checked(from_paths(train.files, labeled=False))
    rows: Ints = np.arange(len(samples))
    plain = pipeline.encode_rows(samples, rows, models.image, views=0, seed=VIEW_SEED).plain
    return np.asarray(plain, np.float32)
