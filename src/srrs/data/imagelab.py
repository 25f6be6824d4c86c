"""Flags of the optional package cleanvision for the pixels, sizes and shapes of images.

cleanvision's own loop prints text, and stops at the first image that cannot be opened. Therefore this module computes
the scores with the functions of cleanvision, and lets cleanvision apply its thresholds to them.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd

from srrs.data.images import WORKERS, open_gray_or_rgb, quiet
from srrs.data.pictures import Picture
from srrs.data.samples import Progress, Samples
from srrs.errors import DataError, MissingExtraError

WORDS = {
    "dark": "dark",
    "light": "light",
    "blurry": "blurry",
    "low_information": "low information",
    "grayscale": "grayscale",
    "odd_size": "odd size",
    "odd_aspect_ratio": "odd aspect ratio",
}
"""The names of issues in cleanvision, and the names of the same flags in the column `flags`. Duplicates are not among
them, because srrs itself searches for duplicates."""


def cleanvision_words(samples: Samples, progress: Progress | None = None) -> dict[str, tuple[str, ...]]:
    """Return the flags of cleanvision for each image that can be opened, by id.

    The flags do not depend on the order of the rows. An image has an odd size in comparison with the other images.
    cleanvision misreads images with palettes, transparency or 16-bit gray, so such images are converted to RGB first.
    `progress` is called with the number of rows and their total. Raises MissingExtraError if cleanvision is not
    installed, and DataError if no image can be opened.
    """
    measures = _measures()

    def measured(picture: Picture) -> dict[str, Any] | None:
        try:
            opened = open_gray_or_rgb(picture)
        except DataError:
            return None
        of_kinds = [measure.calculate(opened) for kind, measure in measures.image_properties.items() if kind != "light"]
        return {name: value for values in of_kinds for name, value in values.items()}  # `dark` also computes `light`

    found = {}
    with quiet(), ThreadPoolExecutor(WORKERS) as pool:
        for row, values in enumerate(pool.map(measured, samples.paths)):
            if values is not None:
                found[samples.ids[row]] = values
            if progress:
                progress(row + 1, len(samples))
    if not found:
        raise DataError(
            f"Expected images for cleanvision, but none of {len(samples)} rows has one that opens. Leave it out, "
            "or give the folder of the images."
        )
    table = pd.DataFrame.from_dict(found, orient="index")
    measures.issues = pd.DataFrame(index=table.index)
    measures.update_issues(table, list(WORDS))
    verdicts = {word: measures.issues[f"is_{kind}_issue"].to_dict() for kind, word in WORDS.items()}
    return {id: tuple(word for word, of in verdicts.items() if of[id]) for id in found}


def _measures() -> Any:
    """Return cleanvision's measures of a single image, with its thresholds. Raises MissingExtraError without it."""
    try:
        from cleanvision.issue_managers.image_property_issue_manager import ImagePropertyIssueManager
    except ImportError:
        raise MissingExtraError("cleanvision", "cleanvision", "Looking with cleanvision") from None
    return ImagePropertyIssueManager()
