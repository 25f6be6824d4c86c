"""The command line as users meet it: files, one JSON object, and errors of one line."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image
from safetensors.numpy import load_file

from commands import run_srrs
from srrs import RobustClassifier
from srrs.training.state import save

FAST = ("--method", "coop", "--matcher", "none", "--device", "cpu", "--set", "steps=4", "--set", "views=1")


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def srrs(monkeypatch, capsys) -> Run:
    """`srrs` in this process, since starting one takes seconds."""

    def run(*words: object) -> Outcome:
        status = run_srrs(monkeypatch, *words)
        return Outcome(status, *capsys.readouterr())

    return run


def assert_refused(outcome: Outcome, message: str) -> None:
    """Exit status 2 and, as the last line of stderr, one sentence or two that hold the message."""
    assert outcome.status == 2, outcome
    lines = outcome.err.strip().splitlines()
    assert lines[-1].startswith("srrs: "), outcome.err
    assert message in lines[-1], outcome.err
    assert "Traceback" not in outcome.out + outcome.err


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_audit_writes_its_files_and_a_summary(srrs: Run, photos, clip_folder, tmp_path: Path) -> None:
    (shutil.copytree(photos, tmp_path / "photos") / "dog" / "empty.jpg").touch()
    out = tmp_path / "audit"
    outcome = srrs("audit", tmp_path / "photos", "--out", out, "--model", clip_folder, *FAST)
    assert outcome.status == 0, outcome.err
    assert sorted(path.name for path in out.iterdir()) == [
        *("audit.csv", "audit.json", "history.jsonl", "report.html", "settings.yaml")
    ]
    rows = read_csv(out / "audit.csv")
    assert len(rows) == 19
    assert [(r["id"], r["issue"]) for r in rows if r["status"] == "unusable"] == [("dog/empty.jpg", "empty file")]
    assert "19 images, 3 classes, 1 unusable" in outcome.out
    assert "estimated noise" in outcome.out
    assert str(out / "report.html") in outcome.out
    assert "method coop" in outcome.err
    assert "matcher none" in outcome.err


def test_with_json_stdout_is_one_object(srrs: Run, photos, clip_folder, tmp_path: Path) -> None:
    outcome = srrs("audit", photos, "--out", tmp_path / "audit", "--model", clip_folder, *FAST, "--json")
    found = json.loads(outcome.out)
    assert found["summary"]["images"] == 18
    assert (found["settings"]["method"], found["settings"]["matcher"], found["settings"]["steps"]) == (
        "coop",
        "none",
        4,
    )
    assert all(Path(file).exists() for file in found["files"])


def test_a_fitted_model_predicts_as_its_classifier_does(srrs: Run, photos, clip_folder, tmp_path: Path) -> None:
    model = tmp_path / "model"
    outcome = srrs("fit", photos, "--out", model, "--test", photos, "--model", clip_folder, *FAST, "--json")
    classifier = RobustClassifier.load(model)
    found = json.loads(outcome.out)
    assert found["accuracy"] == pytest.approx(classifier.score(photos))
    assert found["logistic_regression"]["given_labels_predicted"] > 0.9  # red, green and blue
    assert found["given_labels_predicted"] < 0.9  # of a random model
    assert found["logistic_regression"]["accuracy"] > found["accuracy"]
    warning = "Logistic regression on the same features predicts more of the given labels"
    for findings in (found["findings"], json.loads((model / "audit.json").read_text())["findings"]):
        assert findings[-1]["text"].startswith(warning)
    assert {"config.json", "head.safetensors", "prompts.safetensors", "audit.csv", "report.html"} <= {
        path.name for path in model.iterdir()
    }
    assert not (model / "run").exists()  # the state of a run that is over

    srrs("predict", model, photos, "--out", tmp_path / "found.csv")
    rows = read_csv(tmp_path / "found.csv")
    assert [row["predicted"] for row in rows] == classifier.predict(photos).tolist()
    np.testing.assert_allclose(
        [float(row["confidence"]) for row in rows], classifier.predict_proba(photos).max(1), rtol=1e-5
    )

    one = json.loads(srrs("predict", model, photos / "cat" / "0.jpg", "--json").out)["predictions"]
    assert [entry["predicted"] for entry in one] == classifier.predict([photos / "cat" / "0.jpg"]).tolist()
    (tmp_path / "empty.jpg").touch()
    empty = json.loads(srrs("predict", model, tmp_path / "empty.jpg", "--json").out)["predictions"][0]
    assert (empty["predicted"], empty["confidence"], empty["issue"]) == (None, None, "empty file")


def test_features_are_written_of_labeled_and_of_loose_photographs(
    srrs: Run, photos, clip_folder, tmp_path: Path
) -> None:
    for source, count in ((photos, 18), (photos / "cat", 6)):
        out = tmp_path / str(count)
        outcome = srrs("embed", source, "--out", out, "--model", clip_folder, "--device", "cpu", "--views", 1, "--json")
        assert json.loads(outcome.out)["images"] == count
        arrays = load_file(out / "features.safetensors")
        assert (arrays["plain"].shape, arrays["views"].shape) == ((count, 24), (count, 1, 24))
        assert len(read_csv(out / "samples.csv")) == count
    (tmp_path / "some").mkdir()
    shutil.copy(photos / "cat" / "0.jpg", tmp_path / "some")
    (tmp_path / "some" / "empty.jpg").touch()
    told = srrs("embed", tmp_path / "some", "--out", tmp_path / "e", "--model", clip_folder, "--device", "cpu")
    assert "features of 1 images in" in told.out
    assert "; 1 skipped" in told.out
    assert "skipped empty.jpg: empty file" in told.err


def test_words_for_codes_and_descriptions_are_read_from_files(srrs: Run, photos, clip_folder, tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text(json.dumps({"cat": "big cat", "dog": "dog", "sea_horse": "piano"}))
    (tmp_path / "looks.json").write_text(json.dumps({"big cat": "a tail", "dog": "two legs", "piano": "legs"}))
    outcome = srrs(
        *("audit", photos, "--out", tmp_path / "audit", "--model", clip_folder, *FAST, "--method", "coop-two"),
        *("--names", tmp_path / "names.json", "--descriptions", tmp_path / "looks.json", "--json"),
    )
    assert outcome.status == 0, outcome.err
    assert not any("No description" in note for note in json.loads(outcome.out)["notes"])
    rows = read_csv(tmp_path / "audit" / "audit.csv")
    assert {row["given"] for row in rows} == {"cat", "dog", "sea_horse"}  # the user's own labels
    assert {row[column] for row in rows for column in ("suggested", "zero_shot")} <= {"cat", "dog", "sea_horse"}
    audit = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert dict(zip(audit["class_names"], audit["class_words"], strict=True)) == {
        "cat": "big cat", "dog": "dog", "sea_horse": "piano",
    }  # fmt: skip
    decided = {"id": rows[0]["id"], "action": "relabel", "label": "sea_horse"}
    (tmp_path / "decisions.csv").write_text("\n".join(",".join(line) for line in (decided, decided.values())))
    assert srrs(
        "apply", tmp_path / "audit", "--decisions", tmp_path / "decisions.csv", "--to", tmp_path / "to", "--yes"
    )
    assert {path.name for path in (tmp_path / "to").iterdir()} == {"cat", "dog", "sea_horse"}
    again = srrs(
        *("audit", photos, "--out", tmp_path / "again", "--model", clip_folder, *FAST, "--method", "coop-two"),
        *("--names", tmp_path / "names.json", "--trusted", tmp_path / "decisions.csv"),
    )
    assert again.status == 0, again.err
    row = read_csv(tmp_path / "again" / "audit.csv")[0]
    assert (row["given"], row["suggested"], row["flags"].split(";")[0]) == ("cat", "sea_horse", "trusted")


def test_a_folder_that_is_missing_empty_or_of_one_class_is_refused(srrs: Run, photos, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copytree(photos / "cat", tmp_path / "one" / "cat")
    for folder, message in (
        ("missing", "but there is nothing"),
        ("empty", "but found none"),
        ("one", "Expected at least two classes"),
    ):
        for command in ("audit", "fit"):
            outcome = srrs(command, tmp_path / folder, "--out", tmp_path / "out", "--model", "bundled")
            assert_refused(outcome, message)
            assert str(tmp_path / folder) in outcome.err
            assert len(outcome.err.strip().splitlines()) == 1


def test_a_single_photograph_is_nothing_to_audit_and_one_that_has_two_classes_is(
    srrs: Run, photos, clip_folder, tmp_path: Path
) -> None:
    photo = photos / "cat" / "0.jpg"
    message = f"or a table of them, but {photo} is a single image. Give the folder that holds its class."
    assert_refused(srrs("audit", photo, "--out", tmp_path / "out", "--model", clip_folder), message)
    (tmp_path / "twice.csv").write_text(f"path,label\n{photo},cat\n{photo},dog\n")
    words = ("--model", clip_folder, "--matcher", "none", "--device", "cpu", "--views", 0, "--images", photos)
    outcome = srrs("audit", tmp_path / "twice.csv", "--out", tmp_path / "out", *words)
    assert outcome.status == 0, outcome.err
    assert [row["given"] for row in read_csv(tmp_path / "out" / "audit.csv")] == ["cat", "dog"]


def test_a_table_whose_files_are_missing_or_whose_columns_are_is_refused(srrs: Run, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("path,label\na.jpg,cat\nb.jpg,dog\n")
    assert_refused(srrs("audit", table, "--out", tmp_path / "out"), "None of the 2 files")
    table.write_text("thing,label\na.jpg,cat\n")
    assert_refused(srrs("audit", table, "--out", tmp_path / "out"), "path")
    assert_refused(srrs("audit", table, "--out", tmp_path / "out", "--path", "picture"), "picture")


def test_a_file_missing_from_a_table_is_an_unusable_row(srrs: Run, photos, clip_folder, tmp_path: Path) -> None:
    names = [path.relative_to(photos).as_posix() for path in sorted(photos.glob("*/*.jpg"))]
    rows = [f"{name},{name.split('/')[0]}" for name in [*names, "gone.jpg"]]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    out = tmp_path / "audit"
    outcome = srrs("audit", tmp_path / "labels.csv", "--images", photos, "--out", out, "--model", clip_folder, *FAST)
    assert outcome.status == 0, outcome.err
    last = read_csv(out / "audit.csv")[-1]
    assert (last["id"], last["status"], last["issue"]) == ("gone.jpg", "unusable", "missing file")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--method", "magic"), "no method 'magic'; choose one of zero-shot, coop"),
        (("--set", "step=3"), "no setting 'step'; did you mean steps?"),
        (("--track", "tensorbord:runs"), "expected a tracker, tensorboard, wandb, mlflow or tensorboard:FOLDER"),
        (("--set", "steps"), "expected --set name=value, but found 'steps'"),
        (("--set", "steps=many"), "steps must be a whole number, but is 'many'"),
        (("--device", "toaster"), "toaster"),
        (("--descriptions", "nowhere.json"), "nowhere.json"),
        (("--names", "nowhere.json"), "nowhere.json"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(
    srrs: Run, photos, clip_folder, tmp_path: Path, words, message
) -> None:
    outcome = srrs(
        "audit", photos, "--out", tmp_path / "out", "--model", clip_folder, "--matcher", "none", *words, "--json"
    )
    assert_refused(outcome, message)
    assert message in json.loads(outcome.out)["error"]


def test_an_output_that_cannot_be_a_folder_is_refused_before_the_work(srrs: Run, photos, clip_folder, tmp_path) -> None:
    (tmp_path / "file").write_text("something of the user's")
    for command in ("audit", "fit", "embed"):
        assert_refused(
            srrs(command, photos, "--out", tmp_path / "file", "--model", clip_folder), str(tmp_path / "file")
        )
    assert (tmp_path / "file").read_text() == "something of the user's"


def test_predicting_with_what_is_no_model_or_from_nothing_is_refused(srrs: Run, photos, tmp_path: Path) -> None:
    assert_refused(srrs("predict", photos, photos), "Expected a folder written by `srrs fit --out`")
    assert_refused(srrs("predict", tmp_path / "none", photos), "Expected a folder written by `srrs fit --out`")


def test_an_interruption_is_said_and_the_same_command_goes_on_where_it_stopped(
    srrs: Run, photos, clip_folder, tmp_path: Path, monkeypatch
) -> None:
    def audit(out: str, *words: str) -> Outcome:
        chosen = ("--model", clip_folder, *FAST, "--set", "steps=12")
        return srrs("audit", photos, "--out", tmp_path / out, *chosen, *words)

    def save_and_stop(*arguments: object) -> None:
        save(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("srrs.training.loop.save", save_and_stop)
        for out, words in (("other", ()), ("stopped", ("--json",))):
            stopped = audit(out, *words)
            assert stopped.status == 130
            message = "Interrupted. Run the same command again: it continues where it stopped."
            assert stopped.err.splitlines()[-1] == f"srrs: {message}"
        assert json.loads(stopped.out) == {"error": message}
    assert (tmp_path / "stopped" / "run").exists()
    for out in ("stopped", "whole"):
        assert audit(out).status == 0
    for name in ("audit.csv", "history.jsonl"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_usage_errors_have_status_2_and_no_traceback(srrs: Run, photos) -> None:
    for words in (("audit", photos), ("audot",), ("audit", photos, "--out", "x", "--sed", "3")):
        outcome = srrs(*words)
        assert outcome.status == 2
        assert "Traceback" not in outcome.err
        assert outcome.err


def test_help_answers_without_torch() -> None:
    script = (
        "import sys; sys.argv = ['srrs', '--help']\n"
        "from srrs.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'transformers', 'pandas', 'sklearn', 'matplotlib', 'numpy', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    for command in ("demo", "audit", "fit", "predict", "embed"):
        assert command in outcome.stdout


def test_a_model_that_is_not_on_disk_is_not_fetched_offline(srrs: Run, photos, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    outcome = srrs("audit", photos, "--out", tmp_path / "out", "--model", "somebody/no-such-model", "--offline")
    assert_refused(outcome, "neither on disk (as safetensors) nor reachable offline: without --offline")
    assert "it would be fetched from https://huggingface.co/somebody/no-such-model" in outcome.err
    assert "give the path of a folder that holds it, or --model bundled" in outcome.err
    assert "Warning" not in outcome.err


@pytest.mark.parametrize("noise", ["human", "instance:0.5", "open:0.2"])
def test_the_demo_refuses_noise_that_it_cannot_draw(srrs: Run, tmp_path: Path, noise: str) -> None:
    outcome = srrs("demo", "--noise", noise, "--out", tmp_path)
    assert_refused(outcome, f"expected noise of the kind sym or pair for the demo, but got {noise}; see srrs bench")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("bench", "--dataset", "caltech", "--root", "."), "Expected one of the datasets caltech101"),
        (("table", "nowhere"), "a folder of runs or a JSONL file of records at nowhere, but there is nothing"),
        (("apply", "nowhere", "--to", "x"), "Expected an audit as srrs writes it"),
        (("apply", "nowhere"), "expected one of --to FOLDER, --table FILE and --in-place"),
        (("undo", "nowhere.json"), "Expected an undo file of srrs apply at nowhere.json"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(srrs: Run, words: tuple[str, ...], message: str) -> None:
    assert_refused(srrs(*words), message)


def test_a_budget_orders_the_photos_worth_a_look(srrs: Run, photos, clip_folder, tmp_path: Path) -> None:
    out = tmp_path / "audit"
    outcome = srrs("audit", photos, "--out", out, "--model", clip_folder, *FAST, "--budget", 5)
    assert outcome.status == 0, outcome.err
    found = read_csv(out / "review.csv")
    assert [row["review"] for row in found] == list("12345")
    page = (out / "report.html").read_text()
    assert "Most worth a look first" in page
    assert json.loads(page.split('id="data">')[1].split("</script>")[0])["columns"]["id"][:5] == [
        r["id"] for r in found
    ]


def test_trusted_decisions_are_certain_and_dropped_photos_stay_as_rows(
    srrs: Run, photos, clip_folder, tmp_path: Path
) -> None:
    lines = ("cat/0.jpg,,cat,relabel,dog", "cat/1.jpg,,cat,keep,cat", "dog/2.jpg,,dog,drop,")
    (tmp_path / "decisions.csv").write_text("\n".join(["id,path,given,action,label", *lines]) + "\n")
    out = tmp_path / "audit"
    told = ("--trusted", tmp_path / "decisions.csv")
    outcome = srrs("audit", photos, "--out", out, "--model", clip_folder, *FAST, *told, "--json")
    assert outcome.status == 0, outcome.err
    rows = {row["id"]: row for row in read_csv(out / "audit.csv")}
    assert len(rows) == 18
    for id, suggested in (("cat/0.jpg", "dog"), ("cat/1.jpg", "cat")):
        row = rows[id]
        assert (row["given"], row["status"], row["p_clean"]) == ("cat", "clean", "1")
        assert (row["suggested"], row["suggested_confidence"]) == (suggested, "1")
        assert row["flags"].startswith("trusted")
    assert (rows["dog/2.jpg"]["status"], rows["dog/2.jpg"]["issue"]) == ("unusable", "left out by decision")
    assert json.loads(outcome.out)["summary"]["flags"]["trusted"] == 2
    done = json.loads(srrs("apply", out, "--to", tmp_path / "cleaned", "--confidence", 1.1, "--json").out)
    assert [(c["id"], c["label"]) for c in done["changes"]] == [("cat/0.jpg", "dog")]
    missing = srrs("audit", photos, "--out", out, "--model", clip_folder, *FAST, "--trusted", tmp_path / "no.csv")
    assert_refused(missing, "no.csv, but it cannot be read")


def test_applying_names_photographs_that_came_since_and_undoing_again_says_so(
    srrs: Run, photos, clip_folder, tmp_path: Path
) -> None:
    folder, cleaned = shutil.copytree(photos, tmp_path / "photos"), tmp_path / "cleaned"
    assert srrs("audit", folder, "--out", tmp_path / "audit", "--model", clip_folder, *FAST).status == 0
    apply = ("apply", tmp_path / "audit", "--to", cleaned, "--confidence", 1.1)
    assert "not in the audit" not in srrs(*apply).err
    new = shutil.copy(folder / "cat" / "0.jpg", folder / "dog" / "new.jpg")
    assert (
        f"1 images in these folders are not in the audit and are not copied, {new} first." in srrs(*apply, "--yes").err
    )
    assert len(list(cleaned.rglob("*.jpg"))) == 18
    (undo_file,) = (tmp_path / "audit").glob("undo-*.json")
    assert srrs("undo", undo_file).out.strip() == f"{cleaned}: undone"
    assert not cleaned.exists()
    assert srrs("undo", undo_file).out.strip() == f"{cleaned}: was undone before, nothing to do"
    assert json.loads(srrs("undo", undo_file, "--json").out) == {"undone": str(cleaned), "files": 0}


def test_odd_names_lose_no_row_and_are_copied_under_what_was_decided(
    srrs: Run, photos, clip_folder, tmp_path: Path
) -> None:
    folder = shutil.copytree(photos, tmp_path / "photos")
    odd = [
        b"two\nlines.jpg",
        b"q\"uo'te,;.jpg",
        "\U0001f980.jpg".encode(),
        b"=cmd()|x.jpg",
        b" a.jpg",
        b"no \xff text.jpg",
    ]
    for number, name in enumerate(map(os.fsdecode, odd)):
        (folder / "cat" / f"{number}.jpg").rename(folder / "cat" / name)
    (folder / "dog").rename(folder / '"dog"\n\U0001f9a9')
    audit, cleaned = tmp_path / "audit", tmp_path / "cleaned"
    assert srrs("audit", folder, "--out", audit, "--model", clip_folder, *FAST).status == 0
    rows = read_csv(audit / "audit.csv")
    assert len(rows) == 18
    with (tmp_path / "decisions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "action", "label"])
        writer.writerows([row["id"], "relabel", "sea horse"] for row in rows if row["given"] == "cat")
    chosen = ("--decisions", tmp_path / "decisions.csv", "--to", cleaned, "--yes")
    outcome = srrs("apply", audit, *chosen)
    assert outcome.status == 0, outcome.err
    assert {os.fsencode(path.name) for path in (cleaned / "sea_horse").iterdir()} >= set(odd)
    assert len(list(cleaned.rglob("*.jpg"))) == 18


def test_too_many_wrong_labels_end_with_status_1_and_the_estimate(srrs: Run, photos, clip_folder, tmp_path) -> None:
    audit = ("audit", photos, "--out", tmp_path / "audit", "--model", clip_folder, *FAST)
    outcome = srrs(*audit, "--fail-above", 0.05)
    assert outcome.status == 1
    assert re.search(r"Estimated \d+\.\d% of the labels wrong \(.*\), above the limit of 5\.0%", outcome.err)
    assert (tmp_path / "audit" / "report.html").exists()
    assert srrs(*audit, "--fail-above", 1).status == 0
    found = json.loads(srrs(*audit, "--fail-above", 0.05, "--json").out)
    assert found["failed"].startswith("Estimated")


def test_training_photos_that_are_also_test_photos_are_flagged(srrs: Run, photos, clip_folder, tmp_path: Path) -> None:
    test = shutil.copytree(photos, tmp_path / "test")
    for path in test.rglob("[1-5].jpg"):
        path.unlink()
    srrs("fit", photos, "--out", tmp_path / "model", "--test", test, "--model", clip_folder, *FAST)
    found = {row["id"]: row["flags"] for row in read_csv(tmp_path / "model" / "audit.csv")}
    assert "duplicate of test image cat/0.jpg" in found["cat/0.jpg"]


def test_cleanvision_adds_its_words_to_the_flags_in_the_order_of_the_rows(
    srrs: Run, photos, clip_folder, tmp_path: Path
) -> None:
    folder = shutil.copytree(photos, tmp_path / "photos")
    Image.new("RGB", (700, 20), "white").save(folder / "cat" / "1.jpg")
    Image.open(folder / "dog" / "0.jpg").convert("L").save(folder / "dog" / "0.jpg")
    (folder / "dog" / "1.jpg").write_bytes(b"nothing")
    out = tmp_path / "audit"
    audit = ("audit", folder, "--out", out, "--model", clip_folder, *FAST, "--json")
    assert srrs(*audit).status == 0
    before = read_csv(out / "audit.csv")
    outcome = srrs(*audit, "--cleanvision")
    assert outcome.status == 0, outcome.err
    rows = read_csv(out / "audit.csv")
    assert [row | {"flags": ""} for row in rows] == [row | {"flags": ""} for row in before]
    flags = {row["id"]: row["flags"].split("; ") for row in rows}
    assert flags["cat/1.jpg"][:2] == ["tiny", "blank"]
    assert {"light", "low information", "odd size", "odd aspect ratio"} < {*flags["cat/1.jpg"]}
    assert "grayscale" in flags["dog/0.jpg"]
    assert flags["dog/1.jpg"] == [""]
    assert all(len(words) == len({*words}) for words in flags.values())
    assert json.loads(outcome.out)["summary"]["flags"]["odd aspect ratio"] == 1


def test_without_cleanvision_its_extra_is_named_before_anything_is_encoded(
    srrs: Run, photos, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "cleanvision.issue_managers.image_property_issue_manager", None)
    outcome = srrs("audit", photos, "--out", tmp_path / "audit", "--model", "no such model", "--cleanvision")
    assert_refused(outcome, "needs the package cleanvision: pip install 'srrs[cleanvision]'")


def test_an_audit_after_new_photos_embeds_only_the_new(
    srrs: Run, photos, clip_folder, tmp_path: Path, monkeypatch
) -> None:
    from srrs.models.dual import DualEncoder

    folder = shutil.copytree(photos, tmp_path / "photos")
    audit = ("audit", folder, "--out", tmp_path / "audit", "--model", clip_folder, *FAST)
    assert srrs(*audit).status == 0
    monkeypatch.setattr("srrs.models.hub.checked", lambda model: model)  # encodes one gray image of its own
    encoded, encode = [], DualEncoder.encode_images
    monkeypatch.setattr(DualEncoder, "encode_images", lambda self, x: encoded.append(len(x)) or encode(self, x))
    assert srrs(*audit).status == 0
    assert encoded == []
    with Image.open(folder / "cat" / "0.jpg") as picture:
        picture.rotate(180).save(folder / "cat" / "new.jpg")
    assert srrs(*audit).status == 0
    assert encoded == [1, 1]  # the plain view and one augmented view of one photograph


def test_a_time_limit_is_opt_in_and_says_that_the_result_depends_on_it(
    srrs: Run, photos, clip_folder, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("SRRS_CACHE", str(tmp_path / "cache"))
    audit = ("audit", photos, "--out", tmp_path / "audit", "--model", clip_folder, *FAST[:-2], "--views", 3)
    limited = json.loads(srrs(*audit, "--max-minutes", 0, "--json").out)
    assert (limited["settings"]["views"], limited["settings"]["max_minutes"]) == (0, 0)
    warning = "The result depends on the speed of this machine: within --max-minutes 0, 0 of 3 augmented views"
    assert any(one["text"].startswith(warning) for one in limited["findings"])
    assert warning in (tmp_path / "audit" / "report.html").read_text()
    assert warning in (tmp_path / "audit" / "audit.json").read_text()
    assert warning in srrs(*audit, "--max-minutes", 0).err
    free = srrs(*audit, "--json")
    assert json.loads(free.out)["settings"]["views"] == 3
    assert "speed" not in free.out + free.err


@pytest.mark.parametrize("method", ["srrs", "gce"])
def test_the_same_images_have_the_same_audit_however_they_are_given(
    srrs: Run, photos, clip_folder, tmp_path: Path, monkeypatch, method: str
) -> None:
    """From a folder, a shuffled table, another working directory, with other file names, and from Python."""
    fast = ("--model", clip_folder, "--matcher", "none", "--device", "cpu", "--views", 1, "--set", "steps=3")
    fast += ("--method", method)
    assert srrs("audit", photos, "--out", tmp_path / "folder", *fast).status == 0
    names = [path.relative_to(photos).as_posix() for path in sorted(photos.glob("*/*.jpg"))]
    np.random.default_rng(1).shuffle(names)
    renamed = {name: f"{number:03}.jpg" for number, name in enumerate(names)}
    (tmp_path / "flat").mkdir()
    for name, new in renamed.items():
        shutil.copy(photos / name, tmp_path / "flat" / new)
    rows = "".join(f"{new},{name.split('/')[0]},{name}\n" for name, new in renamed.items())
    (tmp_path / "flat.csv").write_text("path,label,id\n" + rows)
    monkeypatch.chdir(tmp_path)
    assert srrs("audit", "flat.csv", "--images", "flat", "--out", "table", *fast).status == 0
    settings = {"matcher": "none", "device": "cpu", "views": 1, "steps": 3, "method": method}
    fitted = RobustClassifier(str(clip_folder), **settings).fit(photos)
    fitted.audit_.to_csv(tmp_path / "python.csv")
    by_folder, by_table, by_python = (
        {row["id"]: row for row in read_csv(tmp_path / file)}
        for file in ("folder/audit.csv", "table/audit.csv", "python.csv")
    )
    assert list(by_table) == names
    for id, row in by_folder.items():
        for name, value in row.items():
            if name != "path":
                assert by_table[id][name] == value == by_python[id][name], (id, name)
