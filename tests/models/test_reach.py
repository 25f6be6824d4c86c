"""Whether the hub answers, with a stand-in for its client."""

import pytest
from huggingface_hub.errors import HFValidationError

from srrs.errors import ModelError
from srrs.models import reach


@pytest.fixture
def hub(monkeypatch):
    """Online, with an answer to be chosen: None, or what is raised."""

    def answer(error: Exception | None) -> None:
        def model_info(self: object, name: str, timeout: float) -> None:
            if error:
                raise error

        monkeypatch.setattr(reach.HfApi, "model_info", model_info)

    monkeypatch.setattr(reach.constants, "HF_HUB_OFFLINE", False)  # read when huggingface_hub was imported
    return answer


def test_an_answer_is_reach_and_silence_is_none(hub) -> None:
    hub(None)
    assert reach.is_reachable("somebody/model")
    hub(TimeoutError("timed out"))
    assert not reach.is_reachable("somebody/model")


def test_a_name_that_the_hub_does_not_know_is_the_users_error(hub) -> None:
    hub(HFValidationError("no such name"))
    with pytest.raises(ModelError, match="no model 'somebody/modle', neither as a folder nor on the hub"):
        reach.is_reachable("somebody/modle")


def test_nothing_is_asked_offline(hub, monkeypatch) -> None:
    hub(AssertionError("the hub was asked"))
    monkeypatch.setattr(reach.constants, "HF_HUB_OFFLINE", True)
    assert not reach.is_reachable("somebody/model")
