"""What the documents show works as they show it."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from srrs.methods.spec import method
from srrs.records import Evidence, Group

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def evidence() -> Evidence:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), (40, 1))
    return Evidence(
        ids=tuple(map(str, range(40))), labels=rng.integers(0, 3, 40), probs=probs,
        zero_shot=rng.dirichlet(np.ones(3), 40), features=np.eye(40, 4), loss=rng.random(40), agreement=np.ones(40),
    )  # fmt: skip


def test_the_method_of_ones_own_takes_under_forty_lines_and_works(tmp_path, monkeypatch, evidence) -> None:
    (code,) = re.findall(r"```python\n(# my_method\.py\n.*?)```", (DOCS / "own-method.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) < 40
    (tmp_path / "my_method.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    partition, _ = method("my_method:mine(share=0.25)").screen(evidence, {})
    assert (partition.group == Group.CLEAN).mean() == 0.25
    sys.modules.pop("my_method")


@pytest.mark.parametrize("text", re.findall(r"^\| `(srrs[^`]*)`", (DOCS / "own-method.md").read_text(), re.MULTILINE))
def test_every_replacement_shown_is_one_that_can_be_made(text: str) -> None:
    assert method(text).name == text.replace(" ", "")
