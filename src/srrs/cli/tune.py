"""Commands on a user's own photographs: demo, audit, fit, predict, embed."""

from pathlib import Path
from typing import Annotated, Any

import typer

from srrs.cli.options import (
    Budget,
    Descriptions,
    Device,
    FailAbove,
    IdColumn,
    Images,
    Json,
    LabelColumn,
    MatcherOption,
    Method,
    Minutes,
    Model,
    Names,
    PathColumn,
    Seed,
    Set,
    Source,
    Track,
    Trusted,
    folder,
    integers,
    read_settings,
)
from srrs.errors import DataError


def demo(
    out: Annotated[Path, typer.Option(help="Folder for result.json, report.html and audit.csv.")] = Path("demo-out"),
    noise: Annotated[str, typer.Option(help="Wrong labels, as kind:rate; sym or pair.")] = "sym:0.5",
    seeds: Annotated[str, typer.Option(help="Comma list; figures are means over them.")] = "1,2,3",
    as_json: Json = False,
) -> None:
    """Tune the bundled model on bundled photographs with wrong labels: a minute or two on a laptop."""
    from srrs.console import Screen
    from srrs.demo import run

    run(out, noise, integers(seeds), Screen(as_json))


def audit(
    source: Source,
    out: Annotated[Path, typer.Option(help="Folder for audit.csv, audit.json and report.html.")],
    model: Model = None,
    matcher: MatcherOption = None,
    method: Method = None,
    names: Names = None,
    images: Images = None,
    path: PathColumn = None,
    label: LabelColumn = None,
    row_id: IdColumn = None,
    descriptions: Descriptions = None,
    minutes: Minutes = 5.0,
    seed: Seed = None,
    device: Device = None,
    settings: Set = None,
    budget: Budget = None,
    trusted: Trusted = None,
    fail_above: FailAbove = None,
    track: Track = None,
    as_json: Json = False,
) -> None:
    """Say which labels of a folder or table are wrong, and what each should be."""
    from srrs import pipeline
    from srrs.console import Screen

    screen = Screen(as_json)
    chosen = read_settings(settings, model=model, matcher=matcher, method=method, seed=seed, device=device)
    samples = _read(screen, source, names=names, images=images, path_column=path, label_column=label, id_column=row_id)
    decisions = _trusted(trusted, samples)
    fitted, _ = _fit(
        screen, samples, chosen, descriptions, minutes, folder(out) / "run.safetensors", track, decisions=decisions
    )
    files = _write_audit(out, fitted.audit, pipeline.thumbnails(samples), budget)
    _show(screen, fitted, files, failed=_too_noisy(fitted.audit.noise, fail_above))


def fit(
    source: Source,
    out: Annotated[Path, typer.Option(help="Folder for the tuned model and its audit.")],
    test: Annotated[str | None, typer.Option(help="Labelled folder or table to report the accuracy on.")] = None,
    model: Model = None,
    matcher: MatcherOption = None,
    method: Method = None,
    names: Names = None,
    images: Images = None,
    path: PathColumn = None,
    label: LabelColumn = None,
    row_id: IdColumn = None,
    descriptions: Descriptions = None,
    minutes: Minutes = 5.0,
    seed: Seed = None,
    device: Device = None,
    settings: Set = None,
    track: Track = None,
    as_json: Json = False,
) -> None:
    """Tune a classifier that does not learn the mistakes; audits the labels as well."""
    from srrs import pipeline
    from srrs.console import Screen
    from srrs.data.samples import checked, read
    from srrs.estimator import RobustClassifier

    screen = Screen(as_json)
    chosen = read_settings(settings, model=model, matcher=matcher, method=method, seed=seed, device=device)
    samples = _read(screen, source, names=names, images=images, path_column=path, label_column=label, id_column=row_id)
    held_out = checked(read(test, class_names=samples.class_names, images=images, names=names)) if test else None
    fitted, models = _fit(
        screen, samples, chosen, descriptions, minutes, folder(out) / "run.safetensors", track, held_out=held_out
    )
    classifier = RobustClassifier(**chosen.to_dict()).adopt(fitted, models)
    classifier.save(out)
    files = [out, *_write_audit(out, fitted.audit, pipeline.thumbnails(samples))]
    figures: dict[str, Any] = {}
    if held_out is not None:
        figures["accuracy"] = _accuracy(classifier, held_out)
    _show(screen, fitted, files, figures)


def predict(
    model_folder: Annotated[Path, typer.Argument(help="Folder written by `srrs fit`.")],
    source: Annotated[str, typer.Argument(help="Folder of photographs, a table, or one photograph.")],
    out: Annotated[Path | None, typer.Option(help="CSV to write; without it, the table is printed.")] = None,
    images: Images = None,
    path: PathColumn = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Name the class of new photographs."""
    from srrs.audit.files import write_atomic
    from srrs.console import Screen
    from srrs.data.samples import checked, read
    from srrs.estimator import RobustClassifier
    from srrs.predictions import table

    screen = Screen(as_json)
    classifier = RobustClassifier.load(model_folder, device=device)
    one = Path(source).is_file() and Path(source).suffix.lower() not in (".csv", ".tsv")
    columns: dict[str, Any] = {} if one else {"images": images, "path_column": path}
    with screen.progress("Reading photographs") as advance:
        samples = checked(read([source] if one else source, labelled=False, **columns), advance)
    frame = table(samples, classifier.predict_samples(samples), classifier.classes_)
    if out is not None:
        write_atomic(out, frame.to_csv(index=False, lineterminator="\n").encode("utf-8", "backslashreplace"))
        screen.say(f"{len(frame)} predictions in {out}")
    else:
        screen.say(frame.to_string(index=False))
    screen.result({"predictions": frame.astype(object).where(frame.notna(), None).to_dict("records")})


def embed(
    source: Source,
    out: Annotated[Path, typer.Option(help="Folder for features.safetensors and samples.csv.")],
    model: Model = None,
    views: Annotated[int, typer.Option(help="Augmented views beside the plain one.")] = 0,
    names: Names = None,
    images: Images = None,
    path: PathColumn = None,
    label: LabelColumn = None,
    seed: Seed = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Encode photographs once and write their features."""
    from srrs import pipeline
    from srrs.console import Screen

    screen = Screen(as_json)
    chosen = read_settings(None, model=model, seed=seed, device=device, matcher="none", views=views)
    columns = {"names": names, "images": images, "path_column": path, "label_column": label}
    samples = _read(screen, source, labelled=None, **columns)
    models = pipeline.load_models(chosen)
    with screen.progress("Encoding") as advance:
        files = pipeline.write_features(folder(out), samples, models, chosen, progress=advance)
    screen.say(f"features of {len(samples)} photographs in {files[0]}")
    screen.result({"photographs": len(samples), "files": [str(f) for f in files]})


def _read(screen: Any, source: str, *, labelled: bool | None = True, **columns: Any) -> Any:
    """Read and check a source; `labelled=None` takes it as it comes."""
    from srrs.data.samples import checked, read

    if not Path(source).exists():
        raise DataError(f"Expected a folder or a table of photographs at '{source}', but there is nothing.")
    if labelled is None:
        try:
            samples = read(source, **columns)
        except DataError as error:
            screen.note(f"No labels are taken: {error}")
            samples = read(source, labelled=False, **columns)
    else:
        samples = read(source, labelled=labelled, **columns)
    with screen.progress("Reading photographs") as advance:
        return checked(samples, advance)


def _fit(
    screen: Any,
    samples: Any,
    settings: Any,
    descriptions: Any,
    minutes: float,
    checkpoint: Path,
    track: Any,
    **more: Any,
) -> Any:
    from srrs import pipeline
    from srrs.train.trackers import tracking

    with tracking(track or [], settings.to_dict(), checkpoint.with_name("history.jsonl")) as trackers:
        models = pipeline.load_models(settings)
        matcher = models.matcher.name if models.matcher else "none"
        screen.note(
            f"{len(samples):,} photographs, {len(samples.class_names)} classes; model {settings.model}, "
            f"matcher {matcher}, method {settings.method}; up to {minutes:g} minutes for {settings.views} augmented "
            "views of each"
        )
        with screen.progress("Encoding views", minutes) as advance, screen.training("Tuning") as listeners:
            fitted = pipeline.fit(
                samples, models, settings, descriptions=descriptions, minutes=minutes, checkpoint=checkpoint,
                progress=advance, listeners=[*listeners, *trackers], **more,
            )  # fmt: skip
    checkpoint.unlink(missing_ok=True)
    return fitted, models


def _trusted(path: Path | None, samples: Any) -> Any:
    """The decisions that are taken for certain, by id."""
    from srrs.audit.decisions import read_trusted
    from srrs.pipeline import user_rows

    return read_trusted(path, user_rows(samples)) if path else None


def _write_audit(out: Path, audit: Any, thumbnail: Any, budget: int | None = None) -> list[Path]:
    from srrs.audit.priority import review_order, write_review

    out.mkdir(parents=True, exist_ok=True)
    first = review_order(audit, budget) if budget else None
    files = [
        audit.to_csv(out / "audit.csv"),
        audit.to_json(out / "audit.json"),
        audit.report(out / "report.html", thumbnail=thumbnail, first=first),
    ]
    return files if first is None else [*files, write_review(audit, first, out / "review.csv")]


def _too_noisy(noise: Any, limit: float | None) -> str:
    """What is said where more labels are estimated wrong than the limit allows; empty where not."""
    from srrs.audit.summary import noise_range

    if limit is None or noise.rate <= limit:
        return ""
    return (
        f"Estimated {noise.rate:.1%} of the labels wrong ({noise_range(noise)}), above the limit of {limit:.1%} "
        "that --fail-above sets."
    )


def _accuracy(classifier: Any, samples: Any) -> float:
    from srrs.predictions import accuracy

    return accuracy(samples, classifier.predict_samples(samples))


def _show(screen: Any, fitted: Any, files: list[Path], figures: dict[str, Any] | None = None, failed: str = "") -> None:
    for note in fitted.notes:
        screen.note(note)
    screen.say(fitted.audit.summary())
    for name, value in (figures or {}).items():
        screen.say(f"{name} {value:.3f}")
    screen.say("written: " + ", ".join(str(f) for f in files))
    screen.result(
        {
            "summary": fitted.audit.summary().to_dict(),
            "settings": fitted.audit.settings,
            **(figures or {}),
            "notes": list(fitted.notes),
            "files": [str(f) for f in files],
            **({"failed": failed} if failed else {}),
        }
    )
    if failed:
        screen.note(failed)
        raise typer.Exit(1)
