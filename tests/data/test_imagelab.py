import sys
from pathlib import Path

import numpy as np
import pytest
from cleanvision import Imagelab
from PIL import Image, ImageFilter

from srrs.data.imagelab import WORDS, cleanvision_words
from srrs.data.samples import checked, from_paths
from srrs.errors import DataError, MissingExtraError


def scene(width: int = 120, height: int = 90, seed: int = 0) -> Image.Image:
    """Something with edges and many values."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 3, width // 3, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST)


PICTURES = {
    "plain.png": scene(),
    "plain too.jpg": scene(seed=1),
    "dark.png": scene().point(lambda value: value // 8),
    "light.png": scene().point(lambda value: 250 + value // 64),
    "gray.png": scene().convert("L"),
    "long.png": scene(600, 60),
    "huge.png": scene(1500, 1200),
    "one color.png": Image.new("RGB", (120, 90), (90, 120, 10)),
    "blurred.png": Image.linear_gradient("L").convert("RGB").filter(ImageFilter.GaussianBlur(20)),
    "one pixel.png": Image.new("RGB", (1, 1)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pictures")
    for name, picture in PICTURES.items():
        picture.save(made / name)
    return made


def words_of(paths: list[Path]) -> dict[str, tuple[str, ...]]:
    return {Path(id).name: words for id, words in cleanvision_words(checked(from_paths(paths, labeled=False))).items()}


def test_words_are_the_verdicts_of_cleanvision(folder: Path) -> None:
    lab = Imagelab(data_path=str(folder), verbose=False)
    lab.find_issues({kind: {} for kind in WORDS}, n_jobs=1, verbose=False)
    verdicts = {
        Path(path).name: {kind for kind in WORDS if row[f"is_{kind}_issue"]} for path, row in lab.issues.iterrows()
    }
    found = words_of(sorted(folder.iterdir()))
    assert {name: {word.replace(" ", "_") for word in words} for name, words in found.items()} == verdicts
    assert set().union(*verdicts.values()) == {*WORDS}
    assert found["plain.png"] == ()


def test_words_follow_the_pictures_into_another_order(folder: Path) -> None:
    paths = sorted(folder.iterdir())
    found = words_of(paths[::-1])
    assert found == words_of(paths)
    assert list(found) == [path.name for path in paths[::-1]]


def test_pictures_that_do_not_open_are_passed_over(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"nothing")
    (tmp_path / "cut.png").write_bytes((folder / "plain.png").read_bytes()[:900])
    paths = sorted(folder.iterdir())
    lost = [tmp_path / "broken.png", tmp_path / "cut.png", tmp_path / "gone.png"]
    samples = checked(from_paths([lost[0], *paths, *lost[1:]], labeled=False))
    found = cleanvision_words(samples)
    assert {Path(id).name: words for id, words in found.items()} == words_of(paths)
    with pytest.raises(DataError, match="for cleanvision, but none of 3 rows has one that opens"):
        cleanvision_words(checked(from_paths(lost, labeled=False)))


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1", "CMYK", "I;16"])
def test_modes_that_cleanvision_misreads_are_what_a_person_sees(tmp_path: Path, mode: str) -> None:
    picture = scene().convert("I").point(lambda value: value * 257) if mode == "I;16" else scene().convert("L")
    picture = picture.convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    picture.save(path)
    assert not {"dark", "light", "grayscale"} & {*words_of([path])[path.name]}


def test_progress_is_told_to_the_end(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    samples = checked(from_paths(sorted(folder.iterdir()), labeled=False))
    cleanvision_words(samples, progress=lambda done, total: told.append((done, total)))
    assert told == [(at + 1, len(PICTURES)) for at in range(len(PICTURES))]


def test_without_cleanvision_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanvision.issue_managers.image_property_issue_manager", None)
    message = r"Looking with cleanvision needs the package cleanvision: pip install 'srrs\[cleanvision\]'"
    with pytest.raises(MissingExtraError, match=message):
        words_of(sorted(folder.iterdir()))
