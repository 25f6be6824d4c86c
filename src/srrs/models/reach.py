"""A check whether the hub can be reached."""

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

from srrs.errors import ModelError

REACH_SECONDS = 5.0
"""Timeout of the request, in seconds."""


def is_reachable(name: str) -> bool:
    """Return whether the hub answers a request for this model.

    Only one request is made, because a download would retry for half a minute.

    Raises
    ------
    ModelError
        The hub answers that there is no such model.
    """
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        HfApi().model_info(name, timeout=REACH_SECONDS)
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(
            f"There is no model {name!r}, neither as a folder nor on the hub (or it is private): check the spelling, "
            "or give --model bundled to try the small bundled pair."
        ) from error
    except Exception:  # HTTP errors of the client have no common public base class in all its versions
        return False
    return True
