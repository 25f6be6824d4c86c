"""The tuner of one's own that the documents show, by name and as an object."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srrs.methods.spec import method
from srrs.records import Batch
from srrs.training.evidence import logits_of
from srrs.training.loop import train
from srrs.training.schedule import Schedule
from srrs.tuners import Tuner, average, build

DOCS = Path(__file__).parents[2] / "docs" / "own-method.md"
TUNER, USE = (
    re.search(rf"```python\n({start}.*?)```", DOCS.read_text(), re.DOTALL)[1]  # type: ignore[index]
    for start in ("# my_tuner", "from dataclasses import replace\n")
)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tuner as a module on Python's path."""
    (tmp_path / "my_tuner.py").write_text(TUNER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_tuner", raising=False)
    yield "my_tuner:ClipAdapter"
    sys.modules.pop("my_tuner", None)


@pytest.fixture
def shown(module: str) -> dict[str, Any]:
    """What the example in Python leaves behind."""
    found: dict[str, Any] = {}
    exec(compile(USE, str(DOCS), "exec"), found)
    return found


def test_the_tuner_takes_under_eighty_lines() -> None:
    assert len(TUNER.splitlines()) < 80


def test_the_example_finds_wrong_labels_and_does_not_learn_them(shown: dict[str, Any]) -> None:
    truth, labels, suspicious = shown["truth"], shown["labels"], shown["suspicious"]
    assert (shown["logits"].argmax(1).numpy() == truth).mean() > (labels == truth).mean() + 0.1
    assert (labels[suspicious] != truth[suspicious]).mean() > 3 * (labels != truth).mean()
    assert (labels[suspicious] != truth[suspicious]).sum() > 0.8 * (labels != truth).sum()
    assert not shown["logits"].requires_grad


def test_a_tuner_of_ones_own_is_named_as_module_and_class(module: str, shown: dict[str, Any]) -> None:
    named = build(module, shown["foundation"], {"reduction": 2, "ratio": 0.5})
    assert type(named).__name__ == "ClipAdapter"
    assert named.adapter[0].weight.shape == (8, 16)
    (spec,) = method(f"coop(tuners={module}(ratio=0.5,learning_rate=0.1))").tuners
    assert (spec.name, spec.kind, spec.options, spec.learning_rate) == ("ClipAdapter", module, {"ratio": 0.5}, 0.1)


def test_it_starts_near_the_untuned_classifier_and_only_its_network_learns(shown: dict[str, Any]) -> None:
    foundation, features = shown["foundation"], torch.from_numpy(shown["features"])
    adapter: Tuner = build(shown["ClipAdapter"], foundation, {"ratio": 0.0})
    untuned = foundation.logit_scale * features @ foundation.class_vectors.T
    torch.testing.assert_close(adapter.logits(Batch(features=features)), untuned)
    assert {name for name, _ in adapter.named_parameters()} == {"adapter.0.weight", "adapter.2.weight"}
    assert adapter.state_dict().keys() == dict(adapter.named_parameters()).keys()


def test_the_evidence_of_a_tuner_that_is_not_linear_is_that_of_its_export(shown: dict[str, Any]) -> None:
    outcome, source = shown["outcome"], shown["source"]
    adapter = outcome.tuners["adapter"]
    logits = logits_of(adapter.export(), source)(slice(None))
    torch.testing.assert_close(logits, adapter.logits(Batch(features=source.mean_view(slice(None)))).detach())
    np.testing.assert_array_equal(outcome.predicted["adapter"], logits.argmax(1))
    torch.testing.assert_close(outcome.classifier(Batch(features=torch.from_numpy(shown["features"]))), logits)


def test_it_votes_beside_a_linear_probe(module: str, shown: dict[str, Any]) -> None:
    chosen = method(f"srrs-paper(tuners=[{module},linear_probe],rescreen=accept_all)")
    tuners = [build(spec.kind, shown["foundation"], spec.options) for spec in chosen.tuners]
    outcome = train(chosen, tuners, shown["source"], shown["labels"], Schedule(steps=6))
    assert list(outcome.tuners) == ["ClipAdapter", "linear_probe"]
    images = Batch(features=torch.from_numpy(shown["features"]))
    both = average([tuner.export() for tuner in tuners])(images)
    torch.testing.assert_close(outcome.classifier(images), both)
    torch.testing.assert_close(both, (tuners[0].logits(images) + tuners[1].logits(images)).detach() / 2)
