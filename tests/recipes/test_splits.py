"""Pre-training may see only what the recipes' file lists allow."""

import importlib.util
import json
import sys
import zipfile
from collections import Counter
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest

RECIPES = Path(__file__).parents[2] / "recipes"
SEEN = (RECIPES / "seen.txt").read_text().split()


def recipe(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def miniature(tmp_path: Path) -> Path:
    """Both archives in small: every part of the Caltech split, and 50 Tiny-ImageNet classes of 20 photographs."""
    split = {
        part: [[f"crab/{part}_{i}.jpg", 0, "crab"] for i in range(40)]
        + [[f"emu/{part}_{i}.jpg", 1, "emu"] for i in range(5)]
        for part in ("train", "val", "test")
    }
    with zipfile.ZipFile(tmp_path / "caltech101.zip", "w") as archive:
        archive.writestr("caltech101/split_zhou_Caltech101.json", json.dumps(split))
    with zipfile.ZipFile(tmp_path / "tiny-imagenet.zip", "w") as archive:
        ids = [f"n{i:08d}" for i in range(50)]
        archive.writestr("tiny-imagenet/classes.tsv", "".join(f"{i}\tthing {i}, other\n" for i in ids))
        for wordnet_id in ids:
            for number in range(20):
                archive.writestr(f"tiny-imagenet/train/{wordnet_id}/{number}.webp", b"")
            archive.writestr(f"tiny-imagenet/val/{wordnet_id}/0.webp", b"")
    return tmp_path


def test_of_caltech_only_the_val_part_is_seen(miniature: Path) -> None:
    splits = recipe("splits")
    seen = [p.path for p in splits.pretraining(miniature) if p.domain == "caltech"]
    assert seen
    assert all("/val_" in path for path in seen)
    assert Counter(path.split("/")[2] for path in seen) == {"crab": splits.CALTECH_SEEN, "emu": 5}


def test_at_most_sixteen_photographs_of_a_development_class_are_seen_and_none_is_used_for_choosing(
    miniature: Path,
) -> None:
    splits = recipe("splits")
    seen = splits.pretraining(miniature)
    counts = Counter(p.label for p in seen if p.domain == "development")
    assert len(counts) == splits.DEVELOPMENT_CLASSES
    assert set(counts.values()) == {16}
    assert not {p.path for p in seen} & {p.path for p in splits.development(miniature)}
    held_back = set(splits.development_ids(list(splits.tiny_classes(miniature))))
    assert not any(p.path.split("/")[2] in held_back for p in seen if p.domain == "tiny")


def test_no_bundled_photograph_was_seen() -> None:
    bundled = {
        f"{path.parent.name}/{path.name}"
        for part in ("train", "test")
        for path in Path(str(files("srrs") / "assets" / "photos" / part)).rglob("*.jpg")
    }
    seen = {"/".join(path.split("/")[-2:]) for path in SEEN if path.startswith("caltech101/")}
    assert len(bundled) > 600
    assert len(seen) > 1000
    assert not bundled & seen


def test_the_list_of_seen_photographs_keeps_to_the_limits() -> None:
    development = Counter(path.split("/")[2] for path in SEEN if path.startswith("tiny-imagenet/"))
    assert len(development) == 40
    assert max(development.values()) <= 16
    assert sum(path.startswith("caltech101/") for path in SEEN) <= 1649
