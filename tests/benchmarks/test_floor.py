"""The arithmetic floor against torch's own count of what towers do."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from srrs.models.dual import DualEncoder
from srrs.models.hub import load_model
from srrs.tuners.prompt import PromptLayout

LINEAR = {"addmm", "mm"}


@pytest.fixture(scope="module")
def floor() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "floor.py"
    spec = importlib.util.spec_from_file_location("benchmark_floor", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model(clip_folder: Path) -> DualEncoder:
    loaded = load_model(str(clip_folder), "cpu", kernels="torch")  # whose products torch counts
    assert isinstance(loaded, DualEncoder)
    return loaded


def counted(work: Any) -> tuple[int, int]:
    """Operations of linear layers and of other products, by torch."""
    with FlopCounterMode(display=False) as counter:
        work()
    by_name = {str(op).split(".")[-1]: count for op, count in counter.get_flop_counts()["Global"].items()}
    linear = sum(count for name, count in by_name.items() if name in LINEAR)
    return linear, sum(by_name.values()) - linear


def test_one_prompt_alone_costs_what_the_towers_own_pass_does_less_what_nobody_reads(floor, model) -> None:
    length, clip = 9, model.model
    tower = floor.Tower.of(model)
    operations = floor.text_pass(tower, floor.Layout([length], 0, range(length)))
    clip.text_model.config._attn_implementation = "eager"  # its products are ones that torch counts
    embeddings = torch.randn(1, length, tower.width, requires_grad=True)
    tokens = clip.text_model.get_input_embeddings()
    handle = tokens.register_forward_hook(lambda module, inputs, output: embeddings)
    ids = torch.full((1, length), model.end[-1])
    features = []
    forward = counted(lambda: features.append(clip.get_text_features(input_ids=ids).pooler_output))
    backward = counted(lambda: features[0].sum().backward())
    handle.remove()
    clip.text_model.config._attn_implementation = "sdpa"

    unread = 2 * (length - 1) * (2 * tower.width**2 + 2 * tower.width * tower.inner)  # last layer, before the end
    assert operations.forward_linear == forward[0] - unread
    assert operations.backward_linear == backward[0] - unread
    full = forward[1] / tower.layers  # each layer, L queries of L keys
    causal = full * ((tower.layers - 1) * (length + 1) / (2 * length) + 1 / length)
    assert operations.forward_attention == pytest.approx(causal)
    assert operations.backward_attention == pytest.approx(2 * causal)


@pytest.mark.parametrize("class_specific", [False, True], ids=["shared", "per class"])
def test_our_pass_of_equal_prompts_does_no_fewer_and_hardly_more(floor, model, class_specific: bool) -> None:
    layout_of = PromptLayout(model, ["cat"] * 6, class_specific=class_specific)
    layout = floor.Layout.of(layout_of(), len(model.start), layout_of.context)
    operations = floor.text_pass(floor.Tower.of(model), layout)
    weights = []
    forward, _ = counted(lambda: weights.append(model.encode_prompts(layout_of())))
    backward, _ = counted(lambda: weights[0].sum().backward())
    assert operations.forward_linear <= forward <= 1.05 * operations.forward_linear
    assert operations.backward_linear <= backward  # two layers: the first, whose own tokens want no gradient, is half


def test_more_is_never_cheaper(floor) -> None:
    tower = floor.Tower(layers=3, width=8, inner=32, features=4)
    base = floor.text_pass(tower, floor.Layout([9, 12], 5, range(1, 5))).total
    assert floor.text_pass(tower, floor.Layout([9, 13], 5, range(1, 5))).total > base
    assert floor.text_pass(tower, floor.Layout([9, 12, 9], 5, range(1, 5))).total > base
    assert floor.text_pass(tower, floor.Layout([9, 12], 1, range(1, 5))).total > base
