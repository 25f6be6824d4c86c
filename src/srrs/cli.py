"""The command line. Imports stay inside the commands, so that `srrs --help` answers at once."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from srrs.errors import DataError, SettingsError, SrrsError

app = typer.Typer(
    help="Tune CLIP on images whose labels are partly wrong, and learn which labels are wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Source = Annotated[str, typer.Argument(help="Folder with one subfolder per class, or a CSV/TSV table.")]
Model = Annotated[str | None, typer.Option(help="Hub name or path of a CLIP-like model, or `bundled`.")]
MatcherOption = Annotated[str | None, typer.Option(help="auto, none, or hub name or path of a BLIP matcher.")]
Method = Annotated[str | None, typer.Option(help="srrs, srrs-paper, gce, coop, ...; parts replaced as in `srrs(screen=bands)`.")]
Names = Annotated[Path | None, typer.Option(help="JSON, YAML or CSV that maps class codes to words.")]
Images = Annotated[Path | None, typer.Option(help="Folder that the paths of a table are relative to.")]
PathColumn = Annotated[str | None, typer.Option("--path", help="Column of a table that holds the paths.")]
LabelColumn = Annotated[str | None, typer.Option("--label", help="Column of a table that holds the labels.")]
IdColumn = Annotated[str | None, typer.Option("--id", help="Column of a table that holds the row ids.")]
Descriptions = Annotated[Path | None, typer.Option(help="JSON {class name: what it looks like}.")]
Minutes = Annotated[float, typer.Option(help="Time for encoding augmented views; the plain view is always encoded.")]
Seed = Annotated[int | None, typer.Option(help="Of every random draw.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Any other setting, as name=value; may be repeated.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for result.json, report.html and audit.csv.")] = Path("demo-out"),
    noise: Annotated[str, typer.Option(help="Wrong labels, as kind:rate; sym or pair.")] = "sym:0.5",
    seeds: Annotated[str, typer.Option(help="Comma list; figures are means over them.")] = "1,2,3",
    as_json: Json = False,
) -> None:
    """Tune the bundled model on bundled photographs with wrong labels: a minute or two on a laptop."""
    from srrs.console import Screen
    from srrs.demo import run

    run(out, noise, _integers(seeds), Screen(as_json))


@app.command()
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
    as_json: Json = False,
) -> None:
    """Say which labels of a folder or table are wrong, and what each should be."""
    from srrs import pipeline
    from srrs.console import Screen

    screen = Screen(as_json)
    chosen = read_settings(settings, model=model, matcher=matcher, method=method, seed=seed, device=device)
    samples = _read(screen, source, names=names, images=images, path_column=path, label_column=label, id_column=row_id)
    fitted, _ = _fit(screen, samples, chosen, descriptions, minutes, _folder(out) / "run.safetensors")
    files = _write_audit(out, fitted.audit, pipeline.thumbnails(samples))
    _show(screen, fitted, files)


@app.command()
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
    as_json: Json = False,
) -> None:
    """Tune a classifier that does not learn the mistakes; audits the labels as well."""
    from srrs import pipeline
    from srrs.console import Screen
    from srrs.data.samples import read
    from srrs.estimator import RobustClassifier

    screen = Screen(as_json)
    chosen = read_settings(settings, model=model, matcher=matcher, method=method, seed=seed, device=device)
    samples = _read(screen, source, names=names, images=images, path_column=path, label_column=label, id_column=row_id)
    held_out = read(test, class_names=samples.class_names, images=images, names=names) if test else None
    fitted, models = _fit(screen, samples, chosen, descriptions, minutes, _folder(out) / "run.safetensors")
    classifier = RobustClassifier(**chosen.to_dict()).adopt(fitted, models)
    classifier.save(out)
    files = [out, *_write_audit(out, fitted.audit, pipeline.thumbnails(samples))]
    figures: dict[str, Any] = {}
    if held_out is not None:
        figures["accuracy"] = _accuracy(classifier, held_out)
    _show(screen, fitted, files, figures)


@app.command()
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


@app.command()
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
        files = pipeline.write_features(_folder(out), samples, models, chosen, progress=advance)
    screen.say(f"features of {len(samples)} photographs in {files[0]}")
    screen.result({"photographs": len(samples), "files": [str(f) for f in files]})


def _integers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers:
        raise SettingsError(f"expected a comma list of whole numbers such as 1,2,3, but found {text!r}")
    return numbers


def read_settings(pairs: list[str] | None, **values: Any) -> Any:
    """Settings from the options that were given and the `name=value` pairs of `--set`."""
    from srrs.config import Settings

    chosen = {name: value for name, value in values.items() if value is not None}
    for pair in pairs or []:
        name, equals, text = pair.partition("=")
        if not equals:
            raise SettingsError(f"expected --set name=value, but found {pair!r}")
        try:
            chosen[name] = json.loads(text)
        except ValueError:
            chosen[name] = text
    return Settings.of(chosen)


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


def _folder(path: Path) -> Path:
    """The folder to write to, made before the work rather than after it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"Expected a folder to write to at {path}, but it cannot be made: {error.strerror}.") from None
    return path


def _fit(screen: Any, samples: Any, settings: Any, descriptions: Any, minutes: float, checkpoint: Path) -> Any:
    from srrs import pipeline

    models = pipeline.load_models(settings)
    matcher = models.matcher.name if models.matcher else "none"
    screen.note(
        f"{len(samples):,} photographs, {len(samples.class_names)} classes; model {settings.model}, matcher {matcher}, "
        f"method {settings.method}; up to {minutes:g} minutes for {settings.views} augmented views of each"
    )
    with screen.progress("Encoding views") as advance, screen.training("Tuning") as listeners:
        fitted = pipeline.fit(
            samples, models, settings, descriptions=descriptions, minutes=minutes, checkpoint=checkpoint,
            progress=advance, listeners=listeners,
        )  # fmt: skip
    checkpoint.unlink(missing_ok=True)
    return fitted, models


def _write_audit(out: Path, audit: Any, thumbnail: Any) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    return [
        audit.to_csv(out / "audit.csv"),
        audit.to_json(out / "audit.json"),
        audit.report(out / "report.html", thumbnail=thumbnail),
    ]


def _accuracy(classifier: Any, held_out: Any) -> float:
    from srrs.data.samples import checked
    from srrs.predictions import accuracy

    samples = checked(held_out)
    return accuracy(samples, classifier.predict_samples(samples))


def _show(screen: Any, fitted: Any, files: list[Path], figures: dict[str, Any] | None = None) -> None:
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
        }
    )


def main() -> None:
    """Run the command line: what a user can mend is one sentence on stderr and exit status 2."""
    try:
        app(standalone_mode=False)
    except SrrsError as error:
        _fail(str(error), 2)
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _fail("Interrupted. Run the same command again: it goes on where it stopped.", 130)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a usage error of the option parser
            error.show()
            sys.exit(error.exit_code)
        raise


def _fail(message: str, status: int) -> None:
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps({"error": message}) + "\n")
    sys.stderr.write(f"srrs: {message}\n")
    sys.exit(status)
