"""The image tower of docs/models.md, as the page shows it."""

import re
from pathlib import Path

import torch
from torch import nn

from srrs import RobustClassifier
from srrs.models.base import ImageTower, Models

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_the_image_tower_of_the_page_is_short_and_audits_a_folder(photos: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SRRS_CACHE", str(tmp_path / "cache"))
    (code,) = re.findall(r"```python\n(# my_tower\.py\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(code.splitlines()) <= 120
    namespace: dict[str, type] = {}
    exec(code, namespace)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 12, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    tower: ImageTower = namespace["NetworkTower"](network, "my-network", 32)
    classifier = RobustClassifier(Models.of_images(tower), steps=2, views=0).fit(photos)
    table = classifier.audit_.to_pandas()
    assert len(table) == len(list(photos.rglob("*.jpg")))
    assert tower.feature_size == 48
    assert set(classifier.predict(sorted(photos.rglob("*.jpg"))[:3])) <= set(classifier.classes_)
