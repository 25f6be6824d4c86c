"""Fit on photographs, predict, save, and load in a process that has seen nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file
from sklearn.base import clone
from typer.testing import CliRunner

import support
from srrs import RobustClassifier
from srrs.cli import app
from srrs.errors import DataError, NotFittedError, SettingsError

FAST = {"matcher": "none", "device": "cpu", "steps": 4, "views": 1, "learning_rate": 0.05}
MAKERS = {"clip": support.tiny_clip, "siglip": support.tiny_siglip, "dual": support.tiny_dual}
LOAD_ELSEWHERE = """
import sys
import numpy as np
from srrs import RobustClassifier
photos, *folders = sys.argv[1:]
for folder in folders:
    classifier = RobustClassifier.load(folder)
    np.save(folder + "/found.npy", classifier.predict_proba(photos))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> dict[str, tuple[RobustClassifier, Path]]:
    """A classifier on each kind of model, saved; all are loaded in one new process, since starting it is slow."""
    base, made = tmp_path_factory.mktemp("saved"), {}
    for kind, make in MAKERS.items():
        model = make(base / f"{kind}-model")
        classifier = RobustClassifier(str(model), method="coop-two", **FAST).fit(photos)
        made[kind] = classifier, classifier.save(base / kind)
    command = [sys.executable, "-c", LOAD_ELSEWHERE, str(photos), *(str(folder) for _, folder in made.values())]
    subprocess.run(command, check=True, cwd=base, capture_output=True, text=True)
    return made


@pytest.fixture
def fitted(saved) -> RobustClassifier:
    return saved["clip"][0]


@pytest.mark.parametrize("kind", MAKERS)
def test_a_saved_classifier_predicts_the_same_in_a_new_process(saved, photos: Path, kind: str) -> None:
    classifier, folder = saved[kind]
    probs = classifier.predict_proba(photos)
    np.testing.assert_array_equal(np.load(folder / "found.npy"), probs)
    assert probs.shape == (18, 3)
    np.testing.assert_allclose(probs.sum(1), 1, atol=1e-5)
    assert probs.std(0).max() > 1e-4  # it tells pictures apart


def test_what_is_saved_serves_without_a_text_tower(saved) -> None:
    classifier, folder = saved["clip"]
    head = load_file(folder / "head.safetensors")["head"]
    np.testing.assert_array_equal(head, classifier.head_)
    assert head.shape == (3, 24)
    assert {name.split(".")[0] for name in load_file(folder / "prompts.safetensors")} == {"macro", "micro"}
    config = json.loads((folder / "config.json").read_text())
    assert config["class_names"] == ["cat", "dog", "sea horse"]
    assert config["settings"] == classifier.settings.flat()
    assert {"preprocessing", "model_fingerprint", "logit_scale", "versions"} <= config.keys()


def test_predictions_are_the_class_names_of_the_highest_probability(fitted, photos: Path) -> None:
    paths = sorted(photos.glob("*/*.jpg"))
    probs = fitted.predict_proba(paths)
    assert fitted.predict(paths).tolist() == [fitted.classes_[i] for i in probs.argmax(1)]
    np.testing.assert_allclose(probs, fitted.predict_proba(photos), atol=1e-6)


def test_the_score_is_the_share_of_right_predictions(fitted, photos: Path) -> None:
    paths = sorted(photos.glob("*/*.jpg"))
    labels = [path.parent.name.replace("_", " ") for path in paths]
    expected = (fitted.predict(paths) == np.array(labels, dtype=object)).mean()
    assert fitted.score(photos) == pytest.approx(expected)
    assert fitted.score(paths, labels) == pytest.approx(expected)


def test_a_picture_that_cannot_be_read_has_no_prediction(fitted, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    paths = [photos / "cat" / "0.jpg", tmp_path / "empty.jpg"]
    assert np.isnan(fitted.predict_proba(paths)).any(1).tolist() == [False, True]
    assert fitted.predict(paths)[1] is None


def test_the_same_seed_gives_the_same_bits_twice(fitted, photos: Path) -> None:
    again = RobustClassifier(**fitted.get_params()).fit(photos)
    np.testing.assert_array_equal(again.head_, fitted.head_)
    pd.testing.assert_frame_equal(again.audit_.to_pandas(), fitted.audit_.to_pandas(), check_exact=True)


def test_paths_with_labels_are_fitted_as_a_folder_is(fitted, photos: Path) -> None:
    paths = sorted(photos.glob("*/*.jpg"))
    again = RobustClassifier(**fitted.get_params()).fit(paths, [path.parent.name for path in paths])
    np.testing.assert_array_equal(again.head_, fitted.head_)
    assert again.classes_.tolist() == ["cat", "dog", "sea horse"]


def damaged(photos: Path, root: Path) -> Path:
    """The photographs with a few in the wrong folder, and three files that are no pictures."""
    shutil.copytree(photos, root)
    (root / "cat" / "1.jpg").rename(root / "dog" / "stray.jpg")
    (root / "sea_horse" / "2.jpg").rename(root / "cat" / "stray.jpg")
    (root / "cat" / "truncated.jpg").write_bytes((photos / "cat" / "0.jpg").read_bytes()[:-200])
    (root / "dog" / "words.jpg").write_text("not a picture")
    (root / "sea_horse" / "empty.jpg").touch()
    return root


@pytest.mark.parametrize("method", ["coop", "srrs-paper"])
def test_a_folder_and_a_shuffled_table_get_the_same_verdicts_and_bad_files_are_unusable_rows(
    method: str, photos: Path, clip_folder: Path, blip_folder: Path, tmp_path: Path
) -> None:
    root = damaged(photos, tmp_path / "photos")
    names = [path.relative_to(root).as_posix() for path in sorted(root.glob("*/*.jpg"))]
    np.random.default_rng(3).shuffle(names)
    rows = "".join(f"{name},{name.split('/')[0]}\n" for name in names)
    table = tmp_path / "labels.csv"
    table.write_text("path,label\n" + rows)
    settings = FAST | {"matcher": str(blip_folder), "method": method}
    one = RobustClassifier(str(clip_folder), **settings).fit(root)
    other = RobustClassifier(str(clip_folder), **settings).fit(table, images=root)

    by_folder, by_table = (c.audit_.to_pandas().drop(columns="path") for c in (one, other))
    assert by_folder.id.tolist() == sorted(names)
    assert by_table.id.tolist() == names  # the user's own order
    pd.testing.assert_frame_equal(by_folder.set_index("id"), by_table.set_index("id").sort_index(), check_exact=True)
    np.testing.assert_array_equal(one.head_, other.head_)

    bad = by_folder.set_index("id").loc[["cat/truncated.jpg", "dog/words.jpg", "sea_horse/empty.jpg"]]
    assert (by_folder.status == "unusable").sum() == 3
    assert bad.status.tolist() == ["unusable"] * 3
    assert bad.issue.tolist() == ["truncated", "unreadable: not an image", "empty file"]
    assert bad[["quality", "p_clean", "match", "suggested_confidence"]].isna().all(axis=None)
    assert bad.suggested.tolist() == [None] * 3
    assert by_folder[by_folder.status != "unusable"].quality.between(0, 1).all()
    assert by_folder.match.notna().any() == (method == "srrs-paper")


DECIDED = {"cat/0.jpg": "dog", "cat/1.jpg": "cat", "dog/2.jpg": None, "dog/3.jpg": "sea_horse", "gone.jpg": "cat"}
DECISIONS = """id,path,given,action,label
cat/0.jpg,,cat,relabel,dog
cat/1.jpg,,cat,keep,cat
dog/2.jpg,,dog,drop,
dog/3.jpg,,dog,relabel,sea horse
gone.jpg,,cat,keep,cat
"""


@pytest.fixture
def decisions(tmp_path: Path) -> Path:
    (tmp_path / "decisions.csv").write_text(DECISIONS)
    return tmp_path / "decisions.csv"


def read_verdicts(path: Path) -> pd.DataFrame:
    """An audit without the columns that only exist where something was tuned."""
    return pd.read_csv(path, dtype=str).dropna(axis="columns", how="all")


@pytest.mark.parametrize("method", ["srrs", "coop"])
def test_trusted_labels_give_the_verdicts_of_the_command_line_from_its_file_or_a_mapping(
    photos: Path, clip_folder: Path, tmp_path: Path, decisions: Path, method: str
) -> None:
    chosen = [f"--set={name}={value}" for name, value in FAST.items() if name not in ("matcher", "device")]
    words = ["audit", photos, "--trusted", decisions, "--model", clip_folder, "--method", method, *chosen]
    words += ["--matcher", "none", "--device", "cpu", "--out", tmp_path / "audit"]
    outcome = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    for trusted in (decisions, str(decisions), DECIDED):
        audit = RobustClassifier(str(clip_folder), method=method, **FAST).fit(photos, trusted=trusted).audit_
        audit.to_csv(tmp_path / "from-python.csv")
        told, found = (read_verdicts(tmp_path / name) for name in ("from-python.csv", "audit/audit.csv"))
        pd.testing.assert_frame_equal(told[found.columns], found, check_exact=True)
    table = audit.to_pandas().set_index("id")
    assert table.suggested[["cat/0.jpg", "cat/1.jpg", "dog/3.jpg"]].tolist() == ["dog", "cat", "sea horse"]
    assert table.issue["dog/2.jpg"] == "left out by decision"


def test_trusted_labels_may_be_numbers_of_the_classes_and_paths(photos: Path, clip_folder: Path) -> None:
    paths, names = sorted(photos.glob("*/*.jpg")), ("cat", "dog", "sea horse")
    labels = [names.index(path.parent.name.replace("_", " ")) for path in paths]
    classifier = RobustClassifier(str(clip_folder), method="zero-shot", **FAST)
    trusted = {paths[0]: 2, str(paths[7]): np.int64(0), paths[3]: None}
    table = classifier.fit(paths, labels, class_names=names, trusted=trusted).audit_.to_pandas()
    assert table.suggested[[0, 7]].tolist() == ["sea horse", "cat"]
    assert table["flags"].str.contains("trusted", na=False).to_numpy().nonzero()[0].tolist() == [0, 7]
    assert table.issue[3] == "left out by decision"


@pytest.mark.parametrize(
    ("trusted", "error", "message"),
    [
        ([1, 2], SettingsError, "a decisions.csv or a mapping from ids to classes, but found list"),
        ({"cat/0.jpg": "dgo"}, DataError, r"trusted label of 'cat/0.jpg', but found 'dgo'. Did you mean 'dog'\?"),
        ({"cat/0.jpg": -1}, DataError, "one of the 3 classes .* 'cat/0.jpg', but found ''. Fix it or,"),
        ({"0.jpg": "dog"}, DataError, "such as '0.jpg', is theirs. The first image has the id 'cat/0.jpg'"),
        ("no.csv", DataError, "no.csv, but it cannot be read"),
    ],
)
def test_trusted_labels_that_fit_nothing_are_refused(photos: Path, clip_folder: Path, trusted, error, message) -> None:
    with pytest.raises(error, match=message):
        RobustClassifier(str(clip_folder), **FAST).fit(photos, trusted=trusted)


def test_fit_takes_the_words_of_cleanvision(photos: Path, clip_folder: Path) -> None:
    pictures = [Image.open(path).convert("RGB") for path in sorted(photos.glob("*/*.jpg"))]
    labels = [path.parent.name for path in sorted(photos.glob("*/*.jpg"))]
    pictures[4] = pictures[4].resize((600, 60))
    classifier = RobustClassifier(str(clip_folder), method="zero-shot", **FAST)
    flags = classifier.fit(pictures, labels, cleanvision=True).audit_.to_pandas()["flags"]
    assert "odd aspect ratio" in flags[4]
    assert flags.str.contains("odd aspect ratio", na=False).sum() == 1


def test_parameters_can_be_changed_and_cloned_and_are_shown() -> None:
    classifier = RobustClassifier("bundled", steps=7)
    assert classifier.get_params()["steps"] == 7
    assert clone(classifier).get_params() == classifier.get_params()
    assert classifier.set_params(steps=9, method="coop").get_params()["steps"] == 9
    assert repr(classifier) == "RobustClassifier(method='coop', model='bundled', steps=9)"


@pytest.mark.parametrize("call", ["predict", "predict_proba", "score", "save"])
def test_an_unfitted_classifier_says_so(call: str, photos: Path) -> None:
    with pytest.raises(NotFittedError, match="not fitted yet: call fit"):
        getattr(RobustClassifier("bundled"), call)(photos)


def test_a_folder_that_holds_no_classifier_is_refused(saved, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Expected a folder written by `srrs fit --out` at"):
        RobustClassifier.load(tmp_path)
    copy = Path(shutil.copytree(saved["clip"][1], tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"format": 99}))
    with pytest.raises(DataError, match="has format 99, but this version reads format 1"):
        RobustClassifier.load(copy)
    (copy / "head.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read"):
        RobustClassifier.load(copy)


def test_a_model_whose_weights_have_changed_is_refused(photos: Path, clip_folder: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(clip_folder, tmp_path / "model"))
    folder = RobustClassifier(str(model), method="zero-shot", **FAST).fit(photos).save(tmp_path / "saved")
    weights = load_file(model / "model.safetensors")
    weights["visual_projection.weight"] = weights["visual_projection.weight"] + np.float32(1e-3)
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SettingsError, match="is not the one this classifier was tuned on"):
        RobustClassifier.load(folder).predict(photos)


def damage(content: dict, number: int) -> str:
    """One of many ways to damage the JSON of a saved classifier."""
    rng = np.random.default_rng(number)
    odd = [
        None,
        [],
        {},
        "",
        "x",
        -1,
        0,
        10**400,
        float("nan"),
        float("inf"),
        True,
        [[]],
        {"a": 1},
        ["a", "a", "a"],
        "\ud800",
    ]
    text = json.dumps(content)
    if number % 4 == 0:  # another value
        holder = content if number % 8 else content["settings"]
        name = sorted(holder)[rng.integers(len(holder))]
        return json.dumps(content | {name: odd[rng.integers(len(odd))]}) if holder is content else json.dumps(
            content | {"settings": content["settings"] | {name: odd[rng.integers(len(odd))]}}
        )  # fmt: skip
    if number % 4 == 1:  # a key that is gone, or one that is new
        gone = sorted(content)[rng.integers(len(content))]
        return json.dumps({name: value for name, value in content.items() if name != gone} | {"new": 1})
    if number % 4 == 2:  # cut off
        return text[: rng.integers(len(text))]
    at = rng.integers(len(text))
    return text[:at] + chr(rng.integers(32, 127)) + text[at + 1 :]


def test_a_damaged_or_edited_folder_is_one_error_or_still_a_classifier(saved, photos: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(saved["clip"][1], tmp_path / "copy"))
    content = json.loads((copy / "config.json").read_text())
    refused = 0
    for number in range(200):
        (copy / "config.json").write_text(damage(content, number), encoding="utf-8", errors="surrogatepass")
        try:
            RobustClassifier.load(copy)
        except DataError as error:
            refused += str(copy) in str(error)
    assert 120 < refused < 200


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
@pytest.mark.parametrize("name", ["config.json", "head.safetensors", "prompts.safetensors"])
def test_a_fifo_in_a_saved_classifier_is_not_waited_for(saved, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(saved["clip"][1], tmp_path / "copy"))
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(DataError, match=r"but it cannot be read: .*not a regular file"):
        RobustClassifier.load(copy)


def test_a_head_that_does_not_fit_is_refused(saved, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(saved["clip"][1], tmp_path / "copy"))
    for head, message in (
        (
            {"head": np.zeros((2, 24), np.float32)},
            "expected a head of 3 rows in head.safetensors, but found one of",
        ),
        ({"other": np.zeros((3, 24), np.float32)}, "no array 'head'"),
        ({"head": np.full((3, 24), np.nan, np.float32)}, "expected finite numbers in 'head'"),
        ({"head": np.zeros((3, 24), np.float32), "bias": np.zeros(2, np.float32)}, "a bias of 3 numbers"),
    ):
        save_file(head, copy / "head.safetensors")
        with pytest.raises(DataError, match=f"is damaged or was edited: .*{message}"):
            RobustClassifier.load(copy)


def test_files_of_a_saved_classifier_are_as_readable_as_any_other(saved, tmp_path: Path) -> None:
    (tmp_path / "sibling").touch()
    modes = {path.stat().st_mode & 0o777 for path in saved["clip"][1].iterdir() if path.suffix != ".npy"}
    assert modes == {(tmp_path / "sibling").stat().st_mode & 0o777}


def test_the_revision_of_a_hub_model_is_recorded_and_a_saved_classifier_names_it(
    photos: Path, tmp_path: Path, clip_folder: Path, monkeypatch
) -> None:
    commit = "c0ffee" + 34 * "0"
    repository = tmp_path / "hub" / "models--somebody--model"
    shutil.copytree(clip_folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    classifier = RobustClassifier("somebody/model", method="coop", **FAST).fit(photos)
    assert classifier.audit_.settings["model_revision"] == commit
    folder = classifier.save(tmp_path / "model")
    assert json.loads((folder / "config.json").read_text())["settings"]["model"] == f"somebody/model@{commit}"
    assert RobustClassifier.load(folder).predict(photos).tolist() == classifier.predict(photos).tolist()
