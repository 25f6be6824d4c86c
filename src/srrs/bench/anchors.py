"""Published accuracies, and the published names of the methods.

`anchors.csv` contains top-1 accuracies in percent as printed, each with its source. Noise rates range from 0 to 1.
"""

import csv
import re
from importlib.resources import files
from typing import NamedTuple

PUBLISHED = {
    "coop": "CoOp",
    "gce": "GCE",
    "upl": "Robust UPL",
    "joapr": "JoAPR",
    "nlprompt": "NLPrompt",
    "tecoprompt": "TecoPrompt",
    "deft": "DeFT",
    "srrs-paper": "SRRS",
    "srrs": "SRRS",
}
"""The published name of each method. A method with replaced stages has no published name."""
ALIASES = {
    "describabletextures": "dtd",
    "oxfordflowers": "flowers102",
    "flowers": "flowers102",
    "pets": "oxfordpets",
    "cars": "stanfordcars",
}
"""The name that this package uses for a dataset, for each other spelling of the name."""


class Anchor(NamedTuple):
    """A published accuracy, and the dataset, protocol, backbone and noise for which it was published."""

    dataset: str
    """Name of the dataset as published."""
    classes: int
    """Number of classes."""
    method: str
    """Published name of the method, see `PUBLISHED`."""
    protocol: str
    """Name of the protocol, see `srrs.data.protocols`."""
    noise_kind: str
    """Kind of noise, such as `sym`."""
    noise_rate: float
    """Noise rate from 0 to 1."""
    backbone: str
    """Image backbone of CLIP, such as `RN50`."""
    shots: int
    """Number of images per class."""
    accuracy: float
    """Top-1 accuracy from 0 to 1."""
    source: str
    """The paper and the table that contain the accuracy."""


def anchors() -> list[Anchor]:
    """Return the published accuracies in `anchors.csv`, a file of this package."""
    text = files("srrs.bench").joinpath("anchors.csv").read_text(encoding="utf-8")
    return [_anchor(row) for row in csv.DictReader(text.splitlines())]


def _anchor(row: dict[str, str]) -> Anchor:
    """Return the published accuracy in a row of `anchors.csv`."""
    return Anchor(
        dataset=row["dataset"],
        classes=int(row["classes"]),
        method=row["method"],
        protocol=row["protocol"],
        noise_kind=row["noise_kind"],
        noise_rate=float(row["noise_rate"]),
        backbone=row["backbone"],
        shots=int(row["shots"]),
        accuracy=float(row["accuracy_percent"]) / 100,
        source=row["source"],
    )


def backbone(model: str) -> str:
    """Return the backbone of a model: `RN50` for every name of OpenAI's CLIP with a ResNet-50, otherwise `model`."""
    words = set(re.split(r"[:/@,.\s]+", model.lower())) - {"open_clip", "open-clip", "hf-hub", "timm"}
    tower = words & {"rn50", "rn50-quickgelu", "resnet50_clip"}
    return "RN50" if tower and words - tower <= {"openai"} else model


def plain(dataset: str) -> str:
    """Return the name of a dataset in lower case, with letters and digits only, and with `ALIASES` replaced."""
    name = re.sub("[^a-z0-9]", "", dataset.lower())
    return ALIASES.get(name, name)
