"""What the documents show works as they show it."""

import json
import re
import shutil
import sys
import tarfile
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from srrs.cli import app
from srrs.methods.spec import method
from srrs.records import Evidence, Group

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def evidence() -> Evidence:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), 40)
    return Evidence(
        keys=np.arange(40, dtype=np.uint64), labels=rng.integers(0, 3, 40), classes=3,
        logits={"macro": np.log(probs)}, voters=("macro",), zero_shot=rng.dirichlet(np.ones(3), 40),
        features=rng.standard_normal((40, 4)),
    )  # fmt: skip


def test_the_method_of_ones_own_takes_under_forty_lines_and_works(tmp_path, monkeypatch, evidence) -> None:
    (code,) = re.findall(r"```python\n(# my_method\.py\n.*?)```", (DOCS / "own-method.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) < 40
    (tmp_path / "my_method.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    for text in ("my_method:mine(share=0.25)", "coop(screen=my_method:most_likely(share=0.25))"):
        partition, _ = method(text).screen(evidence, {})
        assert (partition.group == Group.CLEAN).mean() == 0.25
    assert method("my_method:mine").reads == {"zero_shot"}
    sys.modules.pop("my_method")


def test_the_rules_on_arrays_run_as_shown(evidence) -> None:
    (code,) = re.findall(r"```python\n(# my_arrays\.py\n.*?)```", (DOCS / "own-method.md").read_text(), re.DOTALL)
    namespace: dict[str, object] = {}
    exec(code, namespace)
    found = namespace["flagged"](evidence.labels, evidence.features, np.exp(evidence.logits["macro"]))
    assert len(found) == 3
    assert all(0 <= len(rows) < 40 for rows in found)


@pytest.mark.parametrize("text", re.findall(r"^\| `(srrs[^`]*)`", (DOCS / "own-method.md").read_text(), re.MULTILINE))
def test_every_replacement_shown_is_one_that_can_be_made(text: str) -> None:
    assert method(text).name == text.replace(" ", "")


QUICK = ["--set", "steps=2", "--set", "views=1"]
INPUTS = (DOCS / "inputs.md").read_text()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what the page of inputs names: photographs, tables, a stored data set."""
    bundled = Path(str(files("srrs") / "assets" / "photos" / "train"))
    rows = []
    for name in ("crab", "ferry"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number, path in enumerate(sorted((bundled / name).iterdir())[:4], 1):
            shutil.copy(path, tmp_path / "photos" / name / f"{number}.jpg")
            rows.append(f"{name}/{number}.jpg,{name},{name}{number // 2}")
    (tmp_path / "more").mkdir()
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,object", *rows]))
    (tmp_path / "views.csv").write_text("\n".join(["path,label,object", *(f"photos/{row}" for row in rows)]))
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards" / "000.tar", "w") as archive:
        for path in sorted((tmp_path / "photos").glob("*/*.jpg")):
            path.with_suffix(".json").write_text(json.dumps({"species": path.parent.name}))
            for kind in (".jpg", ".json"):
                archive.add(path.with_suffix(kind), f"{path.parent.name}{path.stem}{kind}")
            path.with_suffix(".json").unlink()
    labeled = (f"{n:03},{('crab', 'ferry', 'ibis')[n % 3]}" for n in range(60))
    (tmp_path / "rows.csv").write_text("\n".join(["id,label", *labeled]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def store(work: Path) -> None:
    """The photographs as a data set of Hugging Face."""
    datasets = pytest.importorskip("datasets", reason="needs the extra datasets")
    paths = sorted((work / "photos").glob("*/*.jpg"))
    columns = {"picture": list(map(str, paths)), "label": [path.parent.name for path in paths]}
    dataset = datasets.Dataset.from_dict(columns).cast_column("picture", datasets.Image())
    dataset.save_to_disk(str(work / "stored"))


def test_every_command_and_snippet_of_the_inputs_runs_in_its_order(work: Path) -> None:
    store(work)
    ran = 0
    for kind, text in re.findall(r"^```(\w*)\n(.*?)^```", INPUTS, re.DOTALL | re.MULTILINE):
        if kind == "python":
            exec(compile(text, "docs/inputs.md", "exec"), {})
            ran += 1
            continue
        for line in text.splitlines() if not kind else ():
            words = line.split()[1:]
            if "://" in line:  # no network in tests; tests/data/test_remote.py reads URLs
                continue
            extra = QUICK if words[0] in ("audit", "fit") else []
            model = ["--model", "bundled"] if extra and "--model" not in words else []
            outcome = CliRunner().invoke(app, [*words, *extra, *model], catch_exceptions=False)
            assert outcome.exit_code == 0, f"{line}: {outcome.output}"
            ran += 1
    assert ran == 14
    assert (work / "report.html").stat().st_size > 10_000
    assert (work / "predictions.csv").read_text().splitlines()[1].startswith("000,")


def test_the_snippet_of_trusted_labels_runs(work: Path) -> None:
    (work / "decisions.csv").write_text("id,path,given,action,label\ncrab/1.jpg,,crab,keep,crab\n")
    (snippet,) = re.findall(r"```python\n(.*?)```", (DOCS / "review.md").read_text(), re.DOTALL)
    found: dict = {}
    exec(compile(snippet, "docs/review.md", "exec"), found)
    table = found["clf"].audit_.to_pandas().set_index("id")
    assert table.suggested[["crab/1.jpg", "ferry/2.jpg"]].tolist() == ["ferry", "ferry"]
    assert table.issue["crab/3.jpg"] == "left out by decision"


def test_the_snippet_for_scikit_learn_runs() -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", (DOCS / "api" / "classifier.md").read_text(), re.DOTALL)
    rng = np.random.default_rng(0)
    labels = np.arange(45) % 3
    found = {"embeddings": np.eye(3, 8)[labels] * 3 + rng.normal(size=(45, 8)), "labels": labels}
    exec(compile(snippet, "docs/api/classifier.md", "exec"), found)
    assert found["scores"].shape == (5,)
    assert found["search"].best_score_ > 0.5
