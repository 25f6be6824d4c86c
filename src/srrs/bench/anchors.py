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
"""The published name of each method. A method with replaced parts has no published name."""
ALIASES = {
    "describabletextures": "dtd",
    "oxfordflowers": "flowers102",
    "flowers": "flowers102",
    "pets": "oxfordpets",
    "cars": "stanfordcars",
}


class Anchor(NamedTuple):
    """A published accuracy (0 to 1), and the dataset, protocol, model and noise for which it was published."""

    dataset: str
    classes: int
    method: str
    protocol: str
    noise_kind: str
    noise_rate: float
    backbone: str
    shots: int
    accuracy: float
    source: str


def anchors() -> list[Anchor]:
    """Return the published accuracies in `anchors.csv`, a file of this package."""
    text = files("srrs.bench").joinpath("anchors.csv").read_text(encoding="utf-8")
    return [_anchor(row) for row in csv.DictReader(text.splitlines())]


def _anchor(row: dict[str, str]) -> Anchor:
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
    """Return the backbone of a model: `RN50` for each name of OpenAI's CLIP, otherwise the name of the model."""
    words = set(re.split(r"[:/@,.\s]+", model.lower())) - {"open_clip", "open-clip", "hf-hub", "timm"}
    tower = words & {"rn50", "rn50-quickgelu", "resnet50_clip"}
    return "RN50" if tower and words - tower <= {"openai"} else model


def plain(dataset: str) -> str:
    """Return the name of a dataset in a form that does not depend on its spelling."""
    name = re.sub("[^a-z0-9]", "", dataset.lower())
    return ALIASES.get(name, name)
