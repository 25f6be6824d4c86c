"""Every error about a column names the option that cures it, and these options exist."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer.main

from data.test_archives import png
from srrs.bench.own import read_own
from srrs.cli import app
from srrs.data.inputs import read_inputs
from srrs.data.noise_files import read_given
from srrs.data.options import ReadOptions
from srrs.data.samples import from_frame, from_table, read
from srrs.errors import DataError

PATHS = r"\(path, file, filename, file_name, filepath, file_path, image, image_path, img\)"
LABELS = r"\(label, class, tag, given, class_name, category\)"


@pytest.fixture(autouse=True)
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate("ab"):
        Path(f"{name}.png").write_bytes(png(number))
    Path("plain.csv").write_text("where,kind\na.png,x\nb.png,y\n")
    Path("good.csv").write_text("path,label,key\na.png,x,1\nb.png,y,\n")
    np.savez("all.npz", embeddings=np.eye(2), ids=["a", "b"], labels=["x", "y"])


def frame() -> pd.DataFrame:
    return pd.read_csv("plain.csv")


def dataset(*columns: str) -> Any:
    return pytest.importorskip("datasets").Dataset.from_dict({name: ["x", "y"] for name in columns})


def parquet_shard(options: dict[str, str]) -> Any:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    Path("shards").mkdir()
    pq.write_table(pa.table({"image": [png(0), png(1)], "kind": ["x", "y"]}), "shards/0.parquet")
    return read("shards", **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: read("plain.csv"), rf"the path {PATHS} in plain.csv, but found the columns where, kind\. .*--path "),
        (lambda: read("plain.csv", path_column="x"), r"the path \(x\) in plain.csv, .* Name it with --path "),
        (lambda: read("plain.csv", path_column="where"), rf"the label {LABELS} in plain.csv, .* with --label "),
        (lambda: read("good.csv", label_column="kind"), r"the label \(kind\) in good.csv, .* with --label "),
        (lambda: read("good.csv", id_column="number"), r"the id \(number\) in good.csv, .* Name it with --id "),
        (lambda: read("good.csv", id_column="key"), r"an id in every row .* row 2 has none.*another column with --id "),
        (lambda: from_frame(frame()), rf"the path {PATHS} in the DataFrame, .* Name it with --path "),
        (lambda: from_frame(frame(), path_column="where"), r"the label .* in the DataFrame, .* with --label "),
        (lambda: from_table({"where": ["a.png"]}), r"the path .* in the table, .* Name it with --path "),
        (lambda: read(dataset("kind")), rf"the path {PATHS} in the dataset, .* the columns kind\. .* with --path "),
        (lambda: read(dataset("path", "kind")), r"the label .* the columns path, kind\. Name it with --label "),
        (lambda: read(dataset("path", "label"), id_column="key"), r"the id \(key\) in the dataset, .* with --id "),
        (lambda: parquet_shard({}), r"the label .* in shards, .* Name it with --label "),
        (lambda: parquet_shard({"label_column": "tag"}), r"the label \(tag\) in shards, .* Name it with --label "),
        (lambda: read_inputs("plain.csv", features="all.npz"), r"the label .* in plain.csv, .* Name it with --label "),
        (
            lambda: read_inputs("good.csv", features="all.npz", id_column="path"),
            r"None of the 2 rows has an embedding in all.npz.* Name the column of ids with --id ",
        ),
    ],
)  # fmt: skip
def test_an_error_about_a_column_names_the_option(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        call()
    text = str(caught.value)
    (option,) = re.findall(r"--(\w+) \((\w+)=\)", text)
    parameters = {name for one in typer.main.get_command(app).commands["audit"].params for name in one.opts}  # type: ignore[attr-defined]
    assert f"--{option[0]}" in parameters
    assert option[1] in ReadOptions.__dataclass_fields__
    assert option[1] == f"{option[0]}_column"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: read_given(Path("plain.csv"), ["a.png"], ["x", "y"]), r"the path .* in plain.csv, .*kind\. Name the"),
        (lambda: read_own("features:all.npz", Path("plain.csv")), r"the id \(id\) in plain.csv, .*kind\. Name the col"),
        (lambda: read_own("features:all.npz", Path("ids.csv")), r"the true label \(label, .* in ids.csv"),
    ],
)  # fmt: skip
def test_an_error_about_a_column_that_no_option_names_names_the_usual_names(
    call: Callable[[], Any], message: str
) -> None:
    Path("ids.csv").write_text("id,kind\na,x\nb,y\n")
    with pytest.raises(DataError, match=message) as caught:
        call()
    assert "Name the columns in the first line" in str(caught.value)
    assert "--" not in str(caught.value)
