"""Functions that `srrs audit` and `srrs fit` share: they read the input, do the work, write files and print results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from srrs.cli.options import Columns, Embedded, Working, go_offline
from srrs.cli.resolved import Chosen
from srrs.console import Advance, Console, Stages, with_estimate
from srrs.errors import DataError

if TYPE_CHECKING:
    from srrs.audit.table import Audit
    from srrs.cluster import Spread
    from srrs.data.inputs import Inputs
    from srrs.data.parts import Part
    from srrs.data.rows import Samples
    from srrs.pipeline import Fitted


@dataclass(frozen=True)
class Job:
    """One run of a command on a user's images or embeddings."""

    command: str
    """Name of the command: `audit` or `fit`."""
    console: Console
    """The console to which the run writes."""
    chosen: Chosen
    """The settings and options of the run."""
    working: Working
    """Options that are not settings."""
    out: Path
    """Folder for the results."""

    @property
    def checkpoint(self) -> Path:
        """Return the folder with the state of the run. It is removed after the results are written."""
        return self.out / "run"

    def run(self, inputs: "Inputs", spread: "Spread | None" = None, **more: Any) -> "Fitted":
        """Audit the labels and, for `srrs fit`, tune the model. Return the result.

        Parameters
        ----------
        inputs : the images or embeddings with their labels.
        spread : function that runs jobs on a cluster, which then encodes the images.
        more : further fields of `srrs.pipeline.Request`.
        """
        from srrs import pipeline
        from srrs.training.trackers import tracking

        settings, limit = self.chosen.settings, self.working.max_minutes
        if self.working.offline:
            go_offline()
        flags = self._cleanvision(inputs.samples) if self.working.cleanvision else {}
        with tracking(self.working.track or [], settings.flat(), self.out / "history.jsonl") as trackers:
            models = pipeline.load_models(settings, inputs.embeddings)
            self._announce(inputs, models.matcher.name if models.matcher else "none")
            shown = pipeline.stages_of(models, inputs, more.get("held_out"))
            limits = {} if limit is None else {pipeline.ENCODING: limit}
            with self.console.stages(shown, limits) as stages:
                request = pipeline.Request(
                    inputs.samples, models, settings, features=inputs.features, max_minutes=limit,
                    descriptions=self.working.descriptions, checkpoint=self.checkpoint,
                    elsewhere=pipeline.workers(spread, settings), **more,
                )  # fmt: skip
                work = pipeline.audit if self.command == "audit" else pipeline.fit
                fitted = work(request, stages=self._estimating(stages), listeners=trackers)
        return self._limited(replace(fitted, audit=fitted.audit.with_flags(flags)))

    def _announce(self, inputs: "Inputs", matcher: str) -> None:
        """Print what the run will process, and with which settings."""
        settings, samples = self.chosen.settings, inputs.samples
        views = f"{settings.data.views} augmented views of each image"
        if inputs.embeddings is not None:
            views = f"features from {inputs.embeddings.source}, no image is opened"
        self.console.note(
            f"{len(samples):,} images, {len(samples.class_names)} classes; model {settings.model.name}, "
            f"matcher {matcher}, method {settings.tuning.method}; {views}"
        )

    def _estimating(self, stages: Stages) -> Stages:
        """Return `stages`, with a time estimate added to the encoding of augmented views."""
        from srrs.pipeline import ENCODING

        views = self.chosen.settings.data.views or 0

        def start(title: str) -> Advance:
            advance = stages(title)
            if title != ENCODING or self.working.max_minutes is not None:
                return advance
            return with_estimate(advance, views, self.console.note)

        return start

    def _limited(self, fitted: "Fitted") -> "Fitted":
        """Return the result; after a time limit, with a warning that the number of views depends on the machine."""
        limit, asked = self.working.max_minutes, self.chosen.settings.data.views
        if limit is None:
            return fitted
        found = fitted.audit.settings["views"]
        warning = (
            f"The result depends on the speed of this machine: within --max-minutes {limit:g}, {found} of {asked} "
            f"augmented views of each image were encoded. --views {found} gives the same result everywhere."
        )
        settings = {**fitted.audit.settings, "max_minutes": limit}
        return replace(fitted, audit=replace(fitted.audit, settings=settings).with_warnings([warning]))

    def _cleanvision(self, samples: "Samples") -> Mapping[str, Any]:
        """Return the flags of cleanvision for the samples."""
        from srrs.data.imagelab import cleanvision_words

        with self.console.progress("Looking with cleanvision") as advance:
            return cleanvision_words(samples, advance)

    def write(self, audit: "Audit", samples: "Samples", budget: int | None = None) -> list[Path]:
        """Write the audit and the settings of the run, remove the state of the run, and return the written files.

        With a `budget`, a list of this many images to review first is written, too. If there are very many images and
        pyarrow is installed, the audit is also written as parquet.
        """
        from srrs import pipeline
        from srrs.audit.priority import review_order, write_review
        from srrs.core.blocks import is_large
        from srrs.export.parquet import write_parquet
        from srrs.training.state import discard

        first = review_order(audit, budget) if budget else None
        files = [
            audit.to_csv(self.out / "audit.csv"),
            audit.to_json(self.out / "audit.json"),
            audit.report(self.out / "report.html", thumbnail=pipeline.thumbnails(samples), first=first),
            self.chosen.write(self.out, self.command),
        ]
        if is_large(len(audit)) and find_spec("pyarrow"):
            files.append(write_parquet(audit, self.out / "audit.parquet"))
        if first is not None:
            files.append(write_review(audit, first, self.out / "review.csv"))
        discard(self.checkpoint)
        return files

    def show(
        self,
        fitted: "Fitted",
        files: list[Path],
        figures: Mapping[str, Any] | None = None,
        *,
        lines: Sequence[str] = (),
        failed: str = "",
    ) -> None:
        """Print the summary, findings, written files and further lines.

        Parameters
        ----------
        fitted : the result of the run.
        files : the written files.
        figures : further values for `--json`.
        lines : further lines for the user.
        failed : message on a failed check. With a message, exit with status 1.
        """
        for note in fitted.notes:
            self.console.note(note)
        summary = fitted.audit.summary()
        self.console.say(summary)
        for finding in (one for one in fitted.audit.findings if one.text not in fitted.notes):
            (self.console.note if finding.level == "warning" else self.console.say)(finding.text)
        for line in lines:
            self.console.say(line)
        self.console.say("written: " + ", ".join(map(str, files)))
        self.console.result(
            {
                "summary": summary.to_dict(),
                "settings": fitted.audit.settings,
                "trusted": fitted.audit.trusted,
                "findings": [{"level": one.level, "text": one.text} for one in fitted.audit.findings],
                **(figures or {}),
                "notes": list(fitted.notes),
                "files": list(map(str, files)),
                **({"failed": failed} if failed else {}),
            }
        )
        if failed:
            self.console.note(failed)
            raise typer.Exit(1)


def read_input(
    console: Console,
    source: str | None,
    columns: Columns,
    embedded: Embedded | None = None,
    *,
    model: str = "",
    **options: Any,
) -> "Inputs":
    """Return the images or embeddings of a source, after checks. Raises DataError if they cannot be read.

    Parameters
    ----------
    console : shows the progress.
    source : the argument of the command; None if the embeddings are given by an option.
    columns, embedded : options of the command.
    model : name of the model; `none` for embeddings without a model.
    options : further arguments of `srrs.data.inputs.read_inputs`.
    """
    from srrs.data.inputs import read_inputs
    from srrs.models.base import NO_MODEL

    check_exists(source)
    given = embedded or Embedded()
    with console.progress("Reading images") as advance:
        return read_inputs(
            source, features=given.features, class_vectors=given.class_vectors, bare=model == NO_MODEL,
            progress=advance, **{**columns.keywords(), **options},
        )  # fmt: skip


def read_any(
    console: Console, source: str, columns: Columns, part: "Part | None" = None, spread: "Spread | None" = None
) -> "tuple[Samples, Part | None]":
    """Return the samples of a source, with labels if there are any, and the part with its number of samples.

    With `part`, only the samples of this part are read. `spread` is a function that runs the checks on a cluster.
    Raises DataError if the source cannot be read.
    """
    from srrs.data.samples import checked, read

    check_exists(source)
    try:
        samples = read(source, **columns.keywords())
    except DataError as error:
        console.note(f"No labels are read: {error}")
        samples = read(source, labeled=False, **columns.keywords())
    if part:
        part, samples = part.of(samples)
    with console.progress("Reading images") as advance:
        return checked(samples, advance, spread), part


def check_exists(source: str | None) -> None:
    """Raise DataError if a source is neither an existing path nor a URL."""
    from srrs.data.remote import is_remote

    if source is not None and not is_remote(source) and not Path(source).exists():
        raise DataError(f"Expected a folder or a table of images at '{source}', but there is nothing.")
