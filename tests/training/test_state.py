import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from srrs.errors import DataError
from srrs.io import save_tensors
from srrs.training.state import (
    NAME,
    PARTS,
    State,
    arrays_of,
    discard,
    load,
    optimizer_tensors,
    restore_optimizer,
    save,
    tensors_of,
)


@pytest.fixture
def state() -> State:
    return State(
        step=7,
        tuners={"macro.layout.context": torch.randn(3, 4).t()},
        optimizer={"0/momentum_buffer": torch.randn(2)},
        memory=tensors_of({"losses": np.random.default_rng(0).random((2, 5))}),
        lesson=tensors_of({"soft": np.eye(3, dtype=np.float32), "is_match": np.array([True, False, True])}),
    )


def test_what_is_saved_comes_back_to_the_bit(state: State, tmp_path: Path) -> None:
    save(state, tmp_path / "deep" / "run", "mine")
    found = load(tmp_path / "deep" / "run", "mine")
    assert found is not None
    assert found.step == 7
    for part in PARTS:
        ours, theirs = getattr(state, part), getattr(found, part)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype for name in ours)


def test_the_state_of_another_run_is_passed_over_with_a_warning(state: State, tmp_path: Path, caplog) -> None:
    assert load(tmp_path, "mine") is None
    save(state, tmp_path, "mine")
    assert load(tmp_path, "mine") is not None
    assert not caplog.messages
    assert load(tmp_path, "other") is None
    assert caplog.messages == [
        f"The unfinished run in {tmp_path} had other data, other settings or another version of the code: this run "
        "starts from the beginning."
    ]


def truncated(content: bytearray) -> bytes:
    return content[:-7]


def flipped(content: bytearray) -> bytes:
    content[-20] ^= 1
    return content


@pytest.mark.parametrize("damage", [lambda _: b"", lambda _: b"\xff" * 40, truncated, flipped])
@pytest.mark.parametrize("name", [NAME, "screening-000000.safetensors"])
def test_a_damaged_file_of_a_run_starts_it_anew(state: State, tmp_path: Path, damage, name: str, caplog) -> None:
    save(state, tmp_path, "mine")
    save_tensors(tmp_path / "screening-000000.safetensors", {"p_clean": np.ones(9, np.float32)})
    assert load(tmp_path, "mine") is not None
    (tmp_path / name).write_bytes(damage(bytearray((tmp_path / name).read_bytes())))
    assert load(tmp_path, "mine") is None
    (said,) = caplog.messages
    assert said.startswith(f"The unfinished run in {tmp_path} is damaged ({name} is not as it was written)")


def test_saving_again_replaces_the_file_whole(state: State, tmp_path: Path) -> None:
    for fingerprint in ("first", "second"):
        save(state, tmp_path, fingerprint)
    assert [f.name for f in tmp_path.iterdir()] == [NAME]
    with safe_open(tmp_path / NAME, "pt") as file:
        assert json.loads(file.metadata()["run"])["fingerprint"] == "second"


def test_a_folder_that_cannot_be_written_is_named(state: State, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file in the way")
    with pytest.raises(DataError, match=r"Cannot write .*run/state.safetensors: .*Choose a path"):
        save(state, tmp_path / "run", "mine")


def test_the_folder_of_a_run_that_has_ended_goes_whole(state: State, tmp_path: Path) -> None:
    save(state, tmp_path / "run", "mine")
    (tmp_path / "run" / "screening-000007.safetensors").touch()
    discard(tmp_path / "run")
    assert not list(tmp_path.iterdir())
    discard(tmp_path / "run")  # nothing there is fine


def test_an_optimizer_goes_on_as_if_it_had_never_stopped() -> None:
    def step(parameter: torch.nn.Parameter, optimizer: torch.optim.SGD) -> None:
        optimizer.zero_grad()
        (parameter**2).sum().backward()
        optimizer.step()

    def make(value: torch.Tensor) -> tuple[torch.nn.Parameter, torch.optim.SGD]:
        parameter = torch.nn.Parameter(value.clone())
        return parameter, torch.optim.SGD([parameter], lr=0.1, momentum=0.9)

    one, first = make(torch.tensor([1.0, -2.0]))
    for _ in range(3):
        step(one, first)
    other, second = make(one.detach())
    restore_optimizer(second, optimizer_tensors(first))
    for parameter, optimizer in ((one, first), (other, second)):
        step(parameter, optimizer)
    assert torch.equal(one, other)


def test_arrays_and_tensors_hold_the_same_and_share_nothing() -> None:
    array = np.arange(4.0)
    tensors = tensors_of({"a": array})
    array[0] = 9
    np.testing.assert_array_equal(arrays_of(tensors)["a"], [0, 1, 2, 3])
