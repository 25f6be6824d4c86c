"""Grids of real runs, on a few of the bundled photographs laid out as Caltech101 is published."""

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from srrs import pipeline, tuning
from srrs.bench import jobs
from srrs.bench.figures import histogram_figure
from srrs.bench.grid import Grid, GridResult, carry_out, plan
from srrs.bench.records import read_records
from srrs.bench.run import Run
from srrs.cli import app
from srrs.cluster import on_ray
from srrs.config import Settings
from srrs.core.noise import NoiseSpec
from srrs.data.protocols import draw
from srrs.data.published import read_dataset
from srrs.data.samples import checked, from_folder
from srrs.errors import DataError, SettingsError
from srrs.features.store import encode
from srrs.models.base import Models

PHOTOS = Path(str(files("srrs") / "assets" / "photos"))
SETTINGS = Settings.of(model="bundled", steps=4, views=1, views_per_step=1)
HALF = NoiseSpec("sym", 0.5)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes, eight photographs of each to train on and three to test on."""
    root = tmp_path_factory.mktemp("root")
    images = root / "caltech101" / "101_ObjectCategories"
    split: dict[str, list[tuple[str, int, str]]] = {"train": [], "val": [], "test": []}
    for number, folder in enumerate(sorted((PHOTOS / "train").iterdir())[:4]):
        for part, count in (("train", 8), ("test", 3)):
            for photo in sorted((PHOTOS / part / folder.name).iterdir())[:count]:
                (images / folder.name).mkdir(parents=True, exist_ok=True)
                shutil.copy(photo, images / folder.name / photo.name)
                split[part].append((f"{folder.name}/{photo.name}", number, folder.name))
    split["val"] = split["test"]
    (root / "caltech101" / "split_zhou_Caltech101.json").write_text(json.dumps(split))
    return root


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRRS_CACHE", str(tmp_path_factory.getbasetemp() / "bench-cache"))


@pytest.fixture(scope="session")
def models() -> Models:
    return pipeline.load_models(SETTINGS)


def grid(**changes: object) -> Grid:
    wanted = Grid(("coop", "srrs"), (NoiseSpec("sym", 0.0), HALF), (4,), (1, 2), SETTINGS)
    return replace(wanted, **changes)


def planned(root: Path, models: Models, out: Path, **changes: object) -> list[Run]:
    return plan(grid(**changes), read_dataset("caltech101", root), models, out)


def told(out: Path) -> dict[str, tuple[object, ...]]:
    """What the records of a folder tell, times aside."""
    return {
        r.digest: (r.method, r.noise_rate, r.seed, r.correct, r.audit, r.noise_rectified, r.noise_estimate, r.ece)
        for r in read_records([out]).records
    }


def test_a_grid_leaves_a_folder_a_run_and_finished_runs_are_not_run_again(root, models, tmp_path) -> None:
    runs = planned(root, models, tmp_path)
    assert len(runs) == 8
    first = carry_out(runs, [])
    assert (first.computed, len(first.records), first.failed) == (8, 8, [])
    for run in runs:
        assert {p.name for p in run.folder.iterdir()} == {
            "settings.json", "samples.csv", "history.jsonl", "partition.json", "result.json",
        }  # fmt: skip
    again = carry_out(planned(root, models, tmp_path), [])
    assert again.computed == 0
    assert [r.digest for r in again.records] == [r.digest for r in first.records]
    wider = carry_out(planned(root, models, tmp_path, seeds=(1, 2, 3)), [])
    assert wider.computed == 4


def test_a_run_leaves_the_score_that_was_cut_and_where(root, models, tmp_path) -> None:
    wanted = {"srrs": "p_clean", "srrs-paper": "loss", "coop": "p_clean"}
    runs = planned(root, models, tmp_path, methods=tuple(wanted), seeds=(1,), noise=(HALF,))
    for run in runs:
        record = jobs.attempt(run)
        content = json.loads((run.folder / "partition.json").read_text())
        name = run.settings.tuning.method
        assert content["score"] == wanted[name]
        assert len(content[content["score"]]) == len(content["p_clean"]) == record.samples
        assert [len(pair) for pair in content["thresholds"]] == ([] if name == "coop" else [2])
        assert histogram_figure(read_records([tmp_path]), method=name).axes


def test_samples_are_those_drawn_in_their_order(root, models, tmp_path) -> None:
    run = next(r for r in planned(root, models, tmp_path) if r.noise == HALF and r.settings.seed == 2)
    jobs.attempt(run)
    split = read_dataset("caltech101", root).train
    expected = draw(split.labels, split.paths, 4, HALF, protocol="fp-injection", shots=4, seed=2)
    with (run.folder / "samples.csv").open() as file:
        rows = list(csv.DictReader(file))
    lines = "".join(f"{row['path']},{row['label']}\n" for row in rows)
    assert hashlib.sha256(lines.encode()).hexdigest() == expected.digest(split.paths)
    assert [int(row["true"]) for row in rows] == expected.truth.tolist()
    assert np.mean([row["true"] != row["label"] for row in rows]) == 0.5


def test_records_from_elsewhere_need_not_be_computed(root, models, tmp_path) -> None:
    first = carry_out(planned(root, models, tmp_path / "a"), [])
    lines = "".join(json.dumps(r.to_json()) + "\n" for r in first.records)
    (tmp_path / "known.jsonl").write_text(lines)
    runs = planned(root, models, tmp_path / "b", seeds=(2, 3))
    assert carry_out(runs, [tmp_path / "known.jsonl"]).computed == 4


def test_several_processes_give_the_bits_of_one(root, models, tmp_path) -> None:
    chosen = {"seeds": (1,), "noise": (HALF,)}
    carry_out(planned(root, models, tmp_path / "one", **chosen), [])
    carry_out(planned(root, models, tmp_path / "two", **chosen), [], processes=2)
    assert told(tmp_path / "one") == told(tmp_path / "two")
    for name in ("partition.json", "samples.csv", "history.jsonl"):
        for one in (tmp_path / "one" / "caltech101").rglob(name):
            assert one.read_bytes() == (tmp_path / "two" / one.relative_to(tmp_path / "one")).read_bytes(), name


@pytest.mark.cluster
def test_two_nodes_of_ray_give_the_bits_of_one_process(root, models, tmp_path) -> None:
    chosen = {"seeds": (1,), "noise": (HALF,)}
    ray = pytest.importorskip("ray", reason="Ray is an extra")
    from ray.cluster_utils import Cluster

    carry_out(planned(root, models, tmp_path / "one", **chosen), [])
    photos = from_folder(root / "caltech101" / "101_ObjectCategories")
    here = checked(photos)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        outcome = carry_out(planned(root, models, tmp_path / "ray", **chosen), [], ray=cluster.address)
        assert outcome.failed == []
        with on_ray(cluster.address) as spread:
            there = checked(photos, spread=spread)
            elsewhere = pipeline.workers(spread, SETTINGS)
            told_by_ray = encode(there, there.usable, models.image, cache=tmp_path / "cache", elsewhere=elsewhere)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert told(tmp_path / "one") == told(tmp_path / "ray")
    assert there.keys == here.keys
    assert np.array_equal(told_by_ray.plain, encode(here, here.usable, models.image).plain)


def bench(root: Path, out: Path, *words: str) -> list[str]:
    return [
        "bench", "--dataset", "caltech101", "--root", str(root), "--out", str(out), "--model", "bundled",
        "--methods", "coop,srrs-paper", "--noise", "sym:0.5,pair:0.5", "--shots", "4", "--seeds", "1",
        "--set", "steps=12", "--views", "1", *words,
    ]  # fmt: skip


def test_the_parts_of_a_grid_together_are_the_grid(root, tmp_path, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr("srrs.bench.grid.carry_out", lambda runs, *_, **__: seen.append(runs) or GridResult())
    for part in ("1/2", "2/2"):
        assert CliRunner().invoke(app, bench(root, tmp_path, "--shard", part)).exit_code == 0
    assert [len(runs) for runs in seen] == [2, 2]
    assert len({run.digest for runs in seen for run in runs}) == 4


def begin(words: list[str], **streams: object) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "srrs", *words], stdout=subprocess.DEVNULL, text=True, **streams)


def wait_for(folder: Path, name: str, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 180
    while not list(folder.rglob(name)) and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_grid_killed_in_the_middle_and_started_again_tells_the_same(root, tmp_path) -> None:
    two = ("--noise", "sym:0.5")  # two runs, not four
    killed = begin(bench(root, tmp_path / "killed", *two), stderr=subprocess.DEVNULL)
    wait_for(tmp_path / "killed", "run", killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert len(told(tmp_path / "killed")) < 2
    for out in ("killed", "whole"):
        assert CliRunner().invoke(app, bench(root, tmp_path / out, *two), catch_exceptions=False).exit_code == 0
    assert told(tmp_path / "killed") == told(tmp_path / "whole")
    assert len(told(tmp_path / "whole")) == 2
    for name in ("partition.json", "samples.csv", "history.jsonl"):
        files = [sorted((tmp_path / out).rglob(name)) for out in ("killed", "whole")]
        assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]


def test_a_grid_that_is_terminated_leaves_no_worker_and_says_one_sentence(root, tmp_path) -> None:
    """SIGTERM becomes the interruption that SIGINT is."""
    grid = begin(bench(root, tmp_path, "--jobs", "2", "--set", "steps=2000"), stderr=subprocess.PIPE)
    wait_for(tmp_path, "run", grid)
    workers = children(grid.pid)
    assert workers
    os.kill(grid.pid, signal.SIGTERM)
    _, said = grid.communicate(timeout=180)
    assert grid.returncode == 130
    assert said.strip().splitlines()[-1].startswith("srrs: Interrupted. Run the same command again")
    assert "resource_tracker" not in said
    assert "Traceback" not in said
    until = time.monotonic() + 180  # Python's resource tracker ends a moment after its parent
    while [pid for pid in workers if alive(pid)]:
        assert time.monotonic() < until
        time.sleep(0.1)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


OUTSIDE = """
from srrs.methods import learn, rectify, rescreen, screen
from srrs.methods.stages import MACRO, Method

def mine():
    loss = learn.generalized(q=0.9)
    return Method("mine", (MACRO,), screen.transition(), rectify.posterior(), rescreen.accept_all(), loss, loss,
                  learn.as_given())
"""


def test_a_method_from_outside_is_a_method_like_any_other(root, models, tmp_path, monkeypatch) -> None:
    (tmp_path / "grid_method.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    runs = planned(root, models, tmp_path / "runs", methods=("grid_method:mine", "jocor"), seeds=(1,), noise=(HALF,))
    outcome = carry_out(runs, [])
    assert [r.method for r in outcome.records] == ["grid_method:mine", "jocor"]
    assert [r.needs for r in outcome.records] == [(), ("noise rate",)]


def test_a_run_that_fails_does_not_end_the_grid(root, models, tmp_path, monkeypatch) -> None:
    runs = planned(root, models, tmp_path, methods=("coop", "gce"), seeds=(1,), noise=(HALF,))
    tuned = tuning.tune_task

    def failing(task, settings, **options):
        if settings.tuning.method == "coop":
            raise DataError("Expected something else.")
        return tuned(task, settings, **options)

    monkeypatch.setattr(tuning, "tune_task", failing)
    outcome = carry_out(runs, [])
    assert [r.method for r in outcome.records] == ["gce"]
    assert [(run.settings.tuning.method, str(error)) for run, error in outcome.failed] == [
        ("coop", "Expected something else.")
    ]


@pytest.mark.parametrize(
    ("noise", "seen"),
    [("open:0.5", "open"), ("instance:0.5", "instance"), ("near:0.5", "near"), ("inst:0.25+tail:2", "inst+tail:2")],
)
def test_noise_of_every_kind_runs(root, models, tmp_path, noise: str, seen: str) -> None:
    runs = planned(root, models, tmp_path, methods=("srrs",), seeds=(1,), noise=(NoiseSpec.parse(noise),), classes=2)
    outcome = carry_out(runs, [])
    assert outcome.failed == []
    (record,) = outcome.records
    assert (record.noise_kind, record.classes) == (seen, 2)
    if seen == "open":
        assert record.noise_given == 0.5


def test_a_photograph_that_cannot_be_read_is_named(root, models, tmp_path) -> None:
    shutil.copytree(root, tmp_path / "root")
    broken = next((tmp_path / "root").rglob("*.jpg"))
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(DataError, match=rf"can be read, but 1 of .* cannot: .*{broken.name}.*Download them again"):
        planned(tmp_path / "root", models, tmp_path / "out", shots=(None,), noise=(NoiseSpec("sym", 0.0),))


def test_noise_is_not_added_to_labels_whose_true_classes_are_unknown(root, models, tmp_path) -> None:
    data = read_dataset("caltech101", root)
    unknown = replace(data.train, given=data.train.labels, truth_known=False)
    with pytest.raises(DataError, match=r"so sym:0\.2 noise cannot be added. Use --noise human"):
        plan(grid(noise=(NoiseSpec("sym", 0.2),)), replace(data, train=unknown), models, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ()}, "at least one of methods"),
        ({"methods": ("coop3",)}, "no method 'coop3'"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused_before_anything_is_encoded(changes, said) -> None:
    with pytest.raises(SettingsError, match=said):
        grid(**changes)
