"""Commands on a user's own photographs: demo, audit, fit, predict, embed."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from srrs.cli.options import (
    Budget,
    ClassVectorsOption,
    Cleanvision,
    Descriptions,
    Device,
    FailAbove,
    FeaturesOption,
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
    SourceOrNone,
    Track,
    Trusted,
    folder,
    integers,
    read_settings,
)
from srrs.config import FIT_VIEWS
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
    source: SourceOrNone = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for audit.csv, audit.json and report.html.")],
    features: FeaturesOption = None,
    class_vectors: ClassVectorsOption = None,
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
    cleanvision: Cleanvision = False,
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
    columns = {"names": names, "images": images, "path_column": path, "label_column": label, "id_column": row_id}
    inputs = _inputs(screen, source, features, class_vectors, chosen.model.name, **columns)
    decisions = _trusted(trusted, inputs.samples) or {}
    words = _second_opinion(screen, inputs.samples) if cleanvision else {}
    checkpoint = folder(out) / "run"
    fitted = _fit(
        pipeline.audit, screen, inputs, chosen, descriptions, minutes, checkpoint, track, words, decisions=decisions
    )
    files = _write_audit(out, fitted.audit, pipeline.thumbnails(inputs.samples), budget)
    _show(screen, fitted, files, failed=_too_noisy(fitted.audit.noise, fail_above))


def fit(
    source: SourceOrNone = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for the tuned model and its audit.")],
    test: Annotated[str | None, typer.Option(help="Labelled source to report the accuracy on.")] = None,
    features: FeaturesOption = None,
    class_vectors: ClassVectorsOption = None,
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
    cleanvision: Cleanvision = False,
    track: Track = None,
    as_json: Json = False,
) -> None:
    """Tune a classifier that does not learn the mistakes; audits the labels as well."""
    from srrs import pipeline
    from srrs.console import Screen
    from srrs.estimator import RobustClassifier

    screen = Screen(as_json)
    chosen = read_settings(settings, model=model, matcher=matcher, method=method, seed=seed, device=device)
    columns = {"names": names, "images": images, "path_column": path, "label_column": label, "id_column": row_id}
    inputs = _inputs(screen, source, features, class_vectors, chosen.model.name, **columns)
    fixed = {"class_names": inputs.samples.class_names, "names": names, "images": images}
    held_out = _inputs(screen, test, None, None, chosen.model.name, **fixed) if test else None
    words = _second_opinion(screen, inputs.samples) if cleanvision else {}
    checkpoint = folder(out) / "run"
    fitted = _fit(
        pipeline.fit, screen, inputs, chosen, descriptions, minutes, checkpoint, track, words, held_out=held_out
    )
    classifier = RobustClassifier(**chosen.flat()).adopt(fitted)
    classifier.save(out)
    files = [out, *_write_audit(out, fitted.audit, pipeline.thumbnails(inputs.samples))]
    figures: dict[str, Any] = {}
    if held_out is not None:
        figures["accuracy"] = _accuracy(classifier, held_out)
    _show(screen, fitted, files, figures)


def predict(
    model_folder: Annotated[Path, typer.Argument(help="Folder written by `srrs fit`.")],
    source: Annotated[
        str | None, typer.Argument(help="Folder of photographs, a table, one photograph, or embeddings.")
    ] = None,
    features: FeaturesOption = None,
    out: Annotated[Path | None, typer.Option(help="CSV to write; without it, the table is printed.")] = None,
    images: Images = None,
    path: PathColumn = None,
    row_id: IdColumn = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Name the class of new photographs."""
    from srrs.console import Screen
    from srrs.estimator import RobustClassifier
    from srrs.io import write_atomic
    from srrs.predictions import table

    screen = Screen(as_json)
    classifier = RobustClassifier.load(model_folder, device=device)
    columns = {"images": images, "path_column": path, "id_column": row_id}
    inputs = _inputs(screen, source, features, None, "", labelled=False, **columns)
    with screen.progress("Encoding photographs") as advance:
        probs = classifier.predict_inputs(inputs, advance)
    frame = table(inputs.samples, probs, classifier.classes_)
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
    row_id: IdColumn = None,
    seed: Seed = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Encode photographs once and write their features."""
    from srrs import pipeline
    from srrs.console import Screen

    screen = Screen(as_json)
    chosen = read_settings(None, model=model, seed=seed, device=device, matcher="none", views=views)
    columns = {"names": names, "images": images, "path_column": path, "label_column": label, "id_column": row_id}
    samples = _read_as_it_comes(screen, source, **columns)
    models = pipeline.load_models(chosen)
    with screen.progress("Encoding") as advance:
        files = pipeline.write_features(folder(out), samples, models, chosen, progress=advance)
    screen.say(f"features of {len(samples)} photographs in {files[0]}")
    screen.result({"photographs": len(samples), "files": [str(f) for f in files]})


def _inputs(screen: Any, source: str | None, features: Any, class_vectors: Any, model: str, **options: Any) -> Any:
    """Read and check a source, or embeddings."""
    from srrs.data.inputs import read_inputs
    from srrs.models.vectors import NONE

    _check_there(source)
    with screen.progress("Reading photographs") as advance:
        return read_inputs(
            source, features=features, class_vectors=class_vectors, bare=model == NONE, progress=advance, **options
        )


def _check_there(source: str | None) -> None:
    if source is not None and not Path(source).exists():
        raise DataError(f"Expected a folder or a table of photographs at '{source}', but there is nothing.")


def _read_as_it_comes(screen: Any, source: str, **columns: Any) -> Any:
    """Read and check a source, with labels where it has them."""
    from srrs.data.samples import checked, read

    _check_there(source)
    try:
        samples = read(source, **columns)
    except DataError as error:
        screen.note(f"No labels are taken: {error}")
        samples = read(source, labelled=False, **columns)
    with screen.progress("Reading photographs") as advance:
        return checked(samples, advance)


def _fit(
    work: Any,
    screen: Any,
    inputs: Any,
    settings: Any,
    descriptions: Any,
    minutes: float,
    checkpoint: Path,
    track: Any,
    words: Any,
    **more: Any,
) -> Any:
    """Tune and audit; `words` go into the column of flags, by id."""
    from srrs import pipeline
    from srrs.train.state import discard
    from srrs.train.trackers import tracking

    samples = inputs.samples
    views = (
        f"up to {minutes:g} minutes for {settings.views(FIT_VIEWS)} augmented views of each"
        if inputs.features is None
        else f"features from {inputs.embeddings.source}, no photograph is opened"
    )
    with tracking(track or [], settings.flat(), checkpoint.with_name("history.jsonl")) as trackers:
        models = pipeline.load_models(settings, inputs.embeddings)
        matcher = models.matcher.name if models.matcher else "none"
        screen.note(
            f"{len(samples):,} photographs, {len(samples.class_names)} classes; model {settings.model.name}, "
            f"matcher {matcher}, method {settings.tuning.method}; {views}"
        )
        shown = pipeline.stages_of(models, inputs, more.get("held_out"))
        with screen.stages(shown, {pipeline.ENCODING: minutes}) as stages:
            request = pipeline.Request(
                samples, models, settings, features=inputs.features, descriptions=descriptions, max_minutes=minutes,
                checkpoint=checkpoint, **more,
            )  # fmt: skip
            fitted = work(request, stages=stages, listeners=trackers)
    discard(checkpoint)
    return replace(fitted, audit=fitted.audit.with_flags(words))


def _second_opinion(screen: Any, samples: Any) -> Any:
    """What cleanvision finds, by id."""
    from srrs.data.imagelab import cleanvision_words

    with screen.progress("Looking with cleanvision") as advance:
        return cleanvision_words(samples, advance)


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


def _accuracy(classifier: Any, held_out: Any) -> float:
    from srrs.predictions import accuracy

    return accuracy(held_out.samples, classifier.predict_inputs(held_out))


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
