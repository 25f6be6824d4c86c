"""Grids on a dataset of one's own: a folder, a table, or features that were made elsewhere."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from srrs.bench.own import read_own
from srrs.cli import app
from srrs.errors import DataError

PHOTOS = Path(str(files("srrs") / "assets" / "photos" / "train"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of eight images."""
    for name in ("crab", "ferry"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for photo in sorted((PHOTOS / name).iterdir())[:8]:
            shutil.copy(photo, tmp_path / "mine" / name / photo.name)
    return tmp_path / "mine"


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Forty embeddings of two classes, a fifth of them with the wrong label."""
    rng = np.random.default_rng(0)
    truth = np.arange(40) % 2
    arrays = {"embeddings": np.eye(2, 8)[truth] * 3 + rng.normal(size=(40, 8)), "class_names": ["crab", "ferry"]}
    labels = np.where(np.arange(40) % 5 == 0, 1 - truth, truth)
    np.savez(tmp_path / "mine.npz", **arrays, labels=labels, true_labels=truth, class_vectors=np.eye(2, 8))
    return tmp_path / "mine.npz"


def bench(*words: object) -> list[dict]:
    fast = ("--set", "steps=3", "--views", "0", "--seeds", "1", "--methods", "srrs", "--shots", "all", "--json")
    outcome = CliRunner().invoke(app, ["bench", *map(str, words), *fast], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return json.loads(outcome.stdout)["records"]


def test_a_folder_is_divided_by_its_ids_and_noise_is_added(folder: Path, tmp_path: Path) -> None:
    (record,) = bench("--dataset", f"folder:{folder}", "--out", tmp_path / "runs", "--model", "bundled")
    assert (record["dataset"], record["noise_kind"], record["noise_given"]) == ("mine", "sym", 0.5)
    assert (record["samples"], record["test_samples"]) == (12, 4)
    data = read_own(f"folder:{folder}").dataset
    assert not set(data.train.paths) & set(data.test.paths)
    assert np.bincount(data.test.labels).tolist() == [2, 2]


def test_features_with_true_labels_are_measured_against_them(features: Path, tmp_path: Path) -> None:
    words = ("--dataset", f"features:{features}", "--out", tmp_path / "runs", "--model", "none")
    (record,) = bench(*words)
    assert (record["noise_kind"], record["noise_rate"]) == ("human", None)
    assert record["noise_given"] == pytest.approx(0.2, abs=0.1)
    assert record["zero_shot_auroc"] > 0.9
    assert record["accuracy"] > 0.8
    (again,) = bench("--config", tmp_path / "runs" / "settings.yaml", "--out", tmp_path / "again")
    assert {**again, "seconds": 0} == {**record, "seconds": 0}
    assert len(bench(*words, "--noise", "sym:0.25")) == 1


def test_a_trusted_subset_is_the_test_set(folder: Path, tmp_path: Path) -> None:
    trusted = ["crab", "ferry"]
    ids = [f"{name}/{path.name}" for name in trusted for path in sorted((folder / name).iterdir())[:3]]
    lines = ["id,path,given,action,label", *(f"{id},,{id.split('/')[0]},keep,{id.split('/')[0]}" for id in ids)]
    (tmp_path / "decisions.csv").write_text("\n".join(lines))
    words = ("--dataset", f"folder:{folder}", "--truth", tmp_path / "decisions.csv", "--model", "bundled")
    (record,) = bench(*words, "--out", tmp_path / "runs")
    assert (record["samples"], record["test_samples"]) == (10, 6)
    assert (record["noise_kind"], record["noise_given"]) == ("human", None)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("id,label\nnothing.jpg,crab", "Expected ids of .*, but found 'nothing.jpg'"),
        ("id,label\ncrab/{first},crub", "classes of the data, but found 'crub'"),
        ("name,label\na,b", "id"),
    ],
)
def test_true_labels_that_do_not_fit_are_refused(folder: Path, tmp_path: Path, lines: str, message: str) -> None:
    first = sorted((folder / "crab").iterdir())[0].name
    (tmp_path / "t.csv").write_text(lines.replace("{first}", first))
    with pytest.raises(DataError, match=message):
        read_own(f"folder:{folder}", tmp_path / "t.csv")


def test_a_kind_that_does_not_fit_what_is_there_is_refused(folder: Path, features: Path) -> None:
    with pytest.raises(DataError, match=r"Expected features at .*, but found images"):
        read_own(f"features:{folder}")
    with pytest.raises(DataError, match=r"Expected folder at .*, but found features"):
        read_own(f"folder:{features}")
