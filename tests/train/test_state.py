import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from srrs.train.state import State, arrays_of, load, optimiser_tensors, restore_optimiser, save, tensors_of


@pytest.fixture
def state() -> State:
    return State(
        step=7,
        learners={"0.context": torch.randn(3, 4).t()},
        optimiser={"0/momentum_buffer": torch.randn(2)},
        memory=tensors_of({"losses": np.random.default_rng(0).random((2, 5))}),
        lesson=tensors_of({"soft": np.eye(3, dtype=np.float32), "is_match": np.array([True, False, True])}),
        history=[{"step": 0, "noise": [0.1, 0.05, 1 / 3], "group": [0, 2]}],
    )


def test_what_is_saved_comes_back_to_the_bit(state: State, tmp_path: Path) -> None:
    save(state, tmp_path / "deep" / "run.safetensors", "mine")
    found = load(tmp_path / "deep" / "run.safetensors", "mine")
    assert found is not None
    assert (found.step, found.history) == (7, state.history)
    for part in ("learners", "optimiser", "memory", "lesson"):
        ours, theirs = getattr(state, part), getattr(found, part)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype for name in ours)


def test_the_state_of_another_run_and_a_missing_one_are_none(state: State, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    assert load(path, "mine") is None
    save(state, path, "mine")
    assert load(path, "other") is None
    assert load(path, "mine") is not None


def test_saving_again_replaces_the_file_whole(state: State, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    for fingerprint in ("first", "second"):
        save(state, path, fingerprint)
    assert [f.name for f in tmp_path.iterdir()] == ["run.safetensors"]
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["run"])["fingerprint"] == "second"


def test_an_optimiser_goes_on_as_if_it_had_never_stopped() -> None:
    def step(parameter: torch.nn.Parameter, optimiser: torch.optim.SGD) -> None:
        optimiser.zero_grad()
        (parameter**2).sum().backward()
        optimiser.step()

    def make(value: torch.Tensor) -> tuple[torch.nn.Parameter, torch.optim.SGD]:
        parameter = torch.nn.Parameter(value.clone())
        return parameter, torch.optim.SGD([parameter], lr=0.1, momentum=0.9)

    one, first = make(torch.tensor([1.0, -2.0]))
    for _ in range(3):
        step(one, first)
    other, second = make(one.detach())
    restore_optimiser(second, optimiser_tensors(first))
    for parameter, optimiser in ((one, first), (other, second)):
        step(parameter, optimiser)
    assert torch.equal(one, other)


def test_arrays_and_tensors_hold_the_same_and_share_nothing() -> None:
    array = np.arange(4.0)
    tensors = tensors_of({"a": array})
    array[0] = 9
    np.testing.assert_array_equal(arrays_of(tensors)["a"], [0, 1, 2, 3])
