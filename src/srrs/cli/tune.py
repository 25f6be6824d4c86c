"""Commands that read labels: demo, audit, fit."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srrs.cli.options import Columns, Embedded, Json, Source, Working, folder, integers
from srrs.cli.resolved import Chosen
from srrs.cli.signature import Takes
from srrs.config import AUDIT_VIEWS, FIT_VIEWS

if TYPE_CHECKING:
    from srrs.audit.decisions import Decision
    from srrs.data.inputs import Inputs
    from srrs.data.rows import Samples
    from srrs.estimator import RobustClassifier
    from srrs.pipeline import Fitted

SETTINGS = ("model", "matcher", "method", "views", "trust", "seed", "device")
"""Settings for which audit and fit have their own options."""
WORSE = (
    "Logistic regression on the same features predicts more of the given labels than this classifier does. The model "
    "may not know these classes: give plain class names with --names, try another --model, or --model none. If the "
    "wrong labels follow a pattern, logistic regression has learned that pattern."
)
"""Warning if logistic regression predicts more of the given labels."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder for result.json, report.html and audit.csv.")] = Path("demo-out"),
    noise: Annotated[
        str, typer.Option(help="Noise to add to the labels, as kind:rate. The kind is sym or pair.")
    ] = "sym:0.5",
    seeds: Annotated[str, typer.Option(help="Comma list of seeds. The figures are means over the seeds.")] = "1,2,3",
    as_json: Json = False,
) -> None:
    """Compare methods on bundled images with wrong labels. Takes a minute or two on a laptop."""
    from srrs.console import Console
    from srrs.demo import run
    from srrs.lock import only_run

    with only_run(folder(out)):
        run(out, noise, integers(seeds), Console(as_json))


def audit(
    source: Source = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for audit.csv, audit.json, report.html and settings.yaml.")],
    columns: Columns,
    chosen: Annotated[Chosen, Takes(*SETTINGS, views=AUDIT_VIEWS)],
    embedded: Embedded,
    working: Working,
    trusted: Annotated[
        Path | None, typer.Option(help="decisions.csv of an earlier audit. The audit takes these labels as certain.")
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of images that you can review. The page shows them first; review.csv lists them."
        ),
    ] = None,
    fail_above: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Exit with status 1 if the estimated share of wrong labels is above this number."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the wrong labels of a folder or a table. Writes a table and a page to review the images."""
    from srrs.cli.job import Job, read_input
    from srrs.cluster import on_ray
    from srrs.console import Console
    from srrs.lock import only_run

    job = Job("audit", Console(as_json), chosen, working, out)
    with only_run(folder(out)):
        with on_ray(working.ray) as spread:
            inputs = read_input(job.console, source, columns, embedded, model=chosen.settings.model.name, spread=spread)
            fitted = job.run(inputs, spread, decisions=_trusted(trusted, inputs.samples))
        files = job.write(fitted.audit, inputs.samples, budget)
    job.show(fitted, files, failed=_too_noisy(fitted.audit.noise, fail_above))


def _trusted(path: Path | None, samples: "Samples") -> "dict[str, Decision]":
    """Return the decisions of a file, by row id; none without a file.

    The imports load torch, which takes long. They are here, so that an error in the images is reported before.
    """
    from srrs.audit.decisions import read_trusted
    from srrs.pipeline import user_rows

    return read_trusted(path, user_rows(samples)) if path else {}


def fit(
    source: Source = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for the tuned model, its audit and settings.yaml.")],
    test: Annotated[str | None, typer.Option(help="Source with labels, on which the accuracy is measured.")] = None,
    columns: Columns,
    chosen: Annotated[Chosen, Takes(*SETTINGS, views=FIT_VIEWS)],
    embedded: Embedded,
    working: Working,
    as_json: Json = False,
) -> None:
    """Tune a classifier on labels that are partly wrong. Also audits the labels."""
    from srrs.cli.job import Job, read_input
    from srrs.cluster import on_ray
    from srrs.console import Console
    from srrs.lock import only_run

    job = Job("fit", Console(as_json), chosen, working, out)
    with only_run(folder(out)):
        with on_ray(working.ray) as spread:
            inputs = read_input(job.console, source, columns, embedded, model=chosen.settings.model.name, spread=spread)
            held_out = None
            if test is not None:
                same = Columns(names=columns.names, images=columns.images)
                held_out = read_input(
                    job.console, test, same, model=chosen.settings.model.name, class_names=inputs.samples.class_names,
                    spread=spread,
                )  # fmt: skip
            fitted = job.run(inputs, spread, held_out=held_out)
        from srrs.estimator import RobustClassifier

        classifier = RobustClassifier(**chosen.settings.flat())._adopt(fitted)
        classifier.save(out)
        figures, lines, warnings = _accuracies(classifier, fitted, held_out)
        fitted = replace(fitted, audit=fitted.audit.with_warnings(warnings))
        files = [out, *job.write(fitted.audit, inputs.samples)]
    job.show(fitted, files, figures, lines=lines)


def _accuracies(
    classifier: "RobustClassifier", fitted: "Fitted", held_out: "Inputs | None"
) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return the accuracies of the classifier and of logistic regression for `--json`, lines to print, and warnings."""
    from srrs.core.blocks import blocks
    from srrs.predictions import accuracy, logistic_baseline

    features, labels = fitted.task.source.unit_features(), fitted.task.labels
    hits = (classifier.of_features(features[rows]).argmax(1) == labels[rows] for rows in blocks(len(labels)))
    own = sum(int(hit.sum()) for hit in hits) / len(labels)
    baseline = logistic_baseline(features, labels)
    figures: dict[str, Any] = {"given_labels_predicted": own}
    lines, warnings, other = [], [], {}
    if baseline is not None:
        other["given_labels_predicted"] = baseline.accuracy
        lines.append(
            f"predicts {own:.1%} of the given labels; logistic regression on the same features "
            f"{baseline.accuracy:.1%}, cross-validated"
        )
        warnings += [WORSE] if own < baseline.accuracy else []
    if held_out is not None:
        figures["accuracy"] = accuracy(held_out.samples, classifier.predict_inputs(held_out))
        lines.append(f"accuracy {figures['accuracy']:.3f}")
        rows = held_out.samples.usable
        if baseline is not None:
            other["accuracy"] = baseline.test(classifier.features_of(held_out, rows), held_out.samples.labels[rows])
            lines[-1] += f"; logistic regression {other['accuracy']:.3f}"
    return figures | ({"logistic_regression": other} if other else {}), lines, warnings


def _too_noisy(noise: Any, limit: float | None) -> str:
    """Return a message if the estimated share of wrong labels is above the limit, otherwise an empty text."""
    from srrs.audit.summary import noise_range

    if limit is None or noise.rate <= limit:
        return ""
    return (
        f"Estimated {noise.rate:.1%} of the labels wrong ({noise_range(noise)}), above the limit of {limit:.1%} "
        "that --fail-above sets."
    )
