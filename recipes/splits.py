"""Which photographs pre-training may see. Everything else in `recipes/` takes its files from here.

Of Caltech101 only the `val` part of the CoOp split is seen: `train` and `test` belong to the demo and the
benchmarks. Forty Tiny-ImageNet classes are treated the same way, at most `DEVELOPMENT_SEEN` photographs of each:
their other photographs are the development set on which every default of every method is chosen.
"""

import csv
import io
import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DEVELOPMENT_CLASSES = 40
DEVELOPMENT_SEEN = 16
CALTECH_SEEN = 30  # at most this many `val` photographs of one class, so that faces and airplanes do not dominate
SPLIT_SEED = 20250816


@dataclass(frozen=True)
class Photo:
    """One photograph of an archive: where it is, and the class its archive says it shows."""

    archive: str  # file name of the zip
    path: str  # inside the zip
    domain: str  # caltech | tiny | development
    label: int  # within the domain's own class list


def tiny_classes(data: Path) -> dict[str, list[str]]:
    """WordNet id -> names (first the usual one), in the order of `classes.tsv`."""
    with zipfile.ZipFile(data / "tiny-imagenet.zip") as archive:
        rows = csv.reader(io.StringIO(archive.read("tiny-imagenet/classes.tsv").decode()), delimiter="\t")
        return {row[0]: [name.strip() for name in row[1].split(",")] for row in rows if row}


def development_ids(wordnet_ids: list[str]) -> list[str]:
    """The forty classes held back for choosing defaults, drawn once."""
    drawn = np.random.default_rng(SPLIT_SEED).permutation(sorted(wordnet_ids))[:DEVELOPMENT_CLASSES]
    return sorted(str(i) for i in drawn)


def _tiny_photos(data: Path, part: str) -> dict[str, list[str]]:
    with zipfile.ZipFile(data / "tiny-imagenet.zip") as archive:
        photos: dict[str, list[str]] = {}
        for name in sorted(archive.namelist()):
            pieces = name.split("/")
            if len(pieces) == 4 and pieces[1] == part and pieces[3]:
                photos.setdefault(pieces[2], []).append(name)
    return photos


def _draw(paths: list[str], count: int, key: str) -> list[str]:
    seed = [SPLIT_SEED, *key.encode()]
    order = np.random.default_rng(seed).permutation(len(paths))[:count]
    return [paths[i] for i in sorted(order)]


def caltech_split(data: Path) -> dict[str, list[tuple[str, int, str]]]:
    """The CoOp split as published: part -> (path, label, class name)."""
    with zipfile.ZipFile(data / "caltech101.zip") as archive:
        return json.loads(archive.read("caltech101/split_zhou_Caltech101.json"))


def caltech_names(data: Path) -> list[str]:
    """Class names of Caltech101 by label."""
    named = {label: name for _, label, name in caltech_split(data)["val"]}
    return [named[label] for label in sorted(named)]


def pretraining(data: Path) -> list[Photo]:
    """Every photograph any model of the bundled pair is allowed to see."""
    photos = []
    by_class: dict[int, list[str]] = {}
    for path, label, _ in caltech_split(data)["val"]:
        by_class.setdefault(label, []).append(path)
    for label, paths in sorted(by_class.items()):
        for path in _draw(sorted(paths), CALTECH_SEEN, f"caltech/{label}"):
            inside = f"caltech101/101_ObjectCategories/{path}"
            photos.append(Photo("caltech101.zip", inside, "caltech", label))

    ids = list(tiny_classes(data))
    held_back = development_ids(ids)
    train = _tiny_photos(data, "train")
    seen = [i for i in ids if i not in held_back]
    for label, wordnet_id in enumerate(seen):
        photos += [Photo("tiny-imagenet.zip", p, "tiny", label) for p in train[wordnet_id]]
    for label, wordnet_id in enumerate(held_back):
        for path in _draw(train[wordnet_id], DEVELOPMENT_SEEN, wordnet_id):
            photos.append(Photo("tiny-imagenet.zip", path, "development", label))
    return photos


def development(data: Path) -> list[Photo]:
    """The development set: the photographs of the forty classes that pre-training never saw."""
    held_back = development_ids(list(tiny_classes(data)))
    seen = {p.path for p in pretraining(data) if p.domain == "development"}
    photos = []
    for part in ("train", "val"):
        by_class = _tiny_photos(data, part)
        for label, wordnet_id in enumerate(held_back):
            photos += [
                Photo("tiny-imagenet.zip", p, "development", label) for p in by_class[wordnet_id] if p not in seen
            ]
    return photos


def write_seen(data: Path, target: Path) -> None:
    """List the photographs of the guarded classes that pre-training saw: `python recipes/splits.py DATA seen.txt`."""
    guarded = [photo.path for photo in pretraining(data) if photo.domain != "tiny"]
    target.write_text("\n".join(guarded) + "\n")


if __name__ == "__main__":
    write_seen(Path(sys.argv[1]), Path(sys.argv[2]))
