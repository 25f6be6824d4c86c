import pytest
import torch

from srrs.errors import SettingsError
from srrs.models.device import choose_device, choose_precision


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_prefers_cuda_then_mps_then_cpu(monkeypatch, cuda: bool, mps: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto") == torch.device(expected)


@pytest.mark.parametrize("name", ["gpu", "meta", ""])
def test_a_device_of_no_known_name_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"Expected a device auto, cpu, .*found '{name}'"):
        choose_device(name)


def test_a_device_that_is_not_there_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(SettingsError, match="'cuda:7' is not available here"):
        choose_device("cuda:7")


def test_precision_is_full_on_the_cpu_and_by_name_otherwise() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) == torch.float32
    assert choose_precision("bf16", cpu) == torch.bfloat16
    with pytest.raises(SettingsError, match="Expected a precision auto, fp32, bf16 or fp16, but found 'int8'"):
        choose_precision("int8", cpu)
