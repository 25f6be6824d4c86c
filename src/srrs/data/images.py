"""Functions that open images of all kinds: rotated by EXIF, gray, transparent, 16-bit, CMYK or damaged.

H, W height and width in pixels.
"""

import errno
import hashlib
import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from srrs.data.pictures import MAX_BYTES, Picture
from srrs.errors import DataError
from srrs.io import read_bytes

MAX_PIXELS = 200_000_000
"""Larger images are refused. The pixels of an image of this size take 600 MB."""
WORKERS = min(8, os.cpu_count() or 1)
"""Number of threads that open images. Pillow releases the interpreter lock while it decodes an image."""

# A list of allowed formats, so that a file cannot use a format that starts other programs (EPS runs Ghostscript).
_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF", "ICO")
_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
"""Brands of the first box of HEIC files."""
_GLOBALS = threading.RLock()
"""Lock for Pillow's limit of pixels and for the warning filters, which are global."""


class _BadImageError(Exception):
    """The reason why an image cannot be used, as the text of the audit's column `issue`."""


def open_rgb(source: Picture | bytes | Image.Image, at_least: int | None = None) -> Image.Image:
    """Return an image, rotated by its EXIF orientation and converted to RGB, with white for transparent pixels.

    All pixels are decoded. With `at_least`, a large JPEG file is decoded at a reduced size, at which its short side
    still has at least `2 * at_least` pixels. The first frame of an animation is used.

    Raises
    ------
    DataError
        The file is missing, empty, truncated, too large or not an image.
    """
    with _said_of(source):
        image = source if isinstance(source, Image.Image) else None
        data = b"" if image else _bytes(source)  # type: ignore[arg-type]
        return _whatever_filters(lambda: _decode(image or _header(data, at_least), at_least))


def open_gray_or_rgb(source: Picture) -> Image.Image:
    """Return an image as `open_rgb` does, but a gray image in 8-bit gray (mode L). Errors are those of `open_rgb`."""
    with _said_of(source):
        data = _bytes(source)
        gray = _header(data, None).mode == "L"
        opened = _whatever_filters(lambda: _decode(_header(data, None), None))
    return opened.convert("L") if gray else opened


def problem(source: Picture | bytes) -> str:
    """Return the reason why an image cannot be opened, for the column `issue`; '' if it can be opened."""
    try:
        data = _bytes(source)
        # Decoding at a reduced size still reads the whole file, so it finds truncated files, several times faster.
        _whatever_filters(lambda: _decode(_header(data, at_least=32), at_least=32))
    except _BadImageError as reason:
        return str(reason)
    return ""


def inspect(path: Picture) -> tuple[str, str]:
    """Return the content digest of a file ('' if it cannot be read) and its `problem`. The file is opened once."""
    try:
        data = _bytes(path)
    except _BadImageError as reason:
        return "", str(reason)
    return digest(data), problem(data)


def digest(data: bytes) -> str:
    """Return the sha256 of the bytes of an image file, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _said_of(source: Picture | bytes | Image.Image) -> Iterator[None]:
    """Within this block, turn `_BadImageError` into a DataError that names the image."""
    try:
        yield
    except _BadImageError as reason:
        where = "the one given" if isinstance(source, bytes | Image.Image) else source
        raise DataError(f"Expected a readable image, but {where} is not: {reason}. Repair or remove it.") from None


def _whatever_filters(opened: Callable[[], Image.Image]) -> Image.Image:
    """Return the image that `opened` returns, even if warning filters turn Pillow's warnings into errors."""
    try:
        return opened()
    except Warning:
        with _GLOBALS, quiet():
            return opened()


@contextmanager
def quiet() -> Iterator[None]:
    """Within this block, suppress the warnings of Pillow about damaged files.

    Warning filters are global, so the block must contain the whole thread pool.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def as_file(picture: Image.Image | np.ndarray) -> bytes:
    """Return an image in memory as the bytes of a lossless file (PPM), rotated by its EXIF orientation and in RGB.

    Arrays are (H, W), (H, W, 1), (H, W, 3), (H, W, 4) or have the channels first. Their values are uint8, or floats
    from 0 to 1.
    """
    image = _decode(picture if isinstance(picture, Image.Image) else _image(picture), None)
    return b"P6 %d %d 255\n" % image.size + image.tobytes()


def _image(array: np.ndarray) -> Image.Image:
    """Return an array as a Pillow image. Raises _BadImageError for other shapes, types or values."""
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or not array.size:
        raise _BadImageError(f"unreadable: no image has the shape {array.shape}")
    if array.dtype.kind == "f":
        if not 0 <= array.min() <= array.max() <= 1:  # also true for NaN
            raise _BadImageError("unreadable: expected floats from 0 to 1")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype != np.uint8:
        raise _BadImageError(f"unreadable: expected uint8 or floats from 0 to 1, not {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array))


def _bytes(source: Picture | bytes) -> bytes:
    """Return the bytes of an image file. Raises _BadImageError if they cannot be read."""
    if isinstance(source, bytes):
        return source
    try:
        return read_bytes(source, MAX_BYTES) if isinstance(source, Path) else source.read_bytes()
    except _BadImageError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise _BadImageError("missing file") from None
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise _BadImageError(f"too large: more than {MAX_BYTES // 2**20} MB") from None
        raise _BadImageError(f"unreadable: {error.strerror or error}") from None
    except Exception as error:  # such as an entry of a dataset whose files are missing
        raise _BadImageError(f"unreadable: {error or type(error).__name__}") from None


def _header(data: bytes, at_least: int | None) -> Image.Image:
    """Return an image whose pixels are not read yet. With `at_least`, a JPEG file will be decoded at a reduced size."""
    if not data:
        raise _BadImageError("empty file")
    # Pillow's own limit is far lower and hides the size. The limit and the warning filters are global: hence the lock.
    with _GLOBALS, quiet():
        _add_heic()
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            Image.init()
            image = Image.open(io.BytesIO(data), formats=[name for name in _FORMATS if name in Image.OPEN])
        except Exception:  # Pillow's readers raise nearly any error for damaged bytes
            if data[4:8] == b"ftyp" and data[8:12] in _HEIC and "HEIF" not in Image.OPEN:
                raise _BadImageError("unreadable: HEIC needs pillow-heif (pip install 'srrs[heic]')") from None
            raise _BadImageError("unreadable: not an image") from None
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    _check_size(image)
    if at_least is not None:
        image.draft(None, (2 * at_least, 2 * at_least))  # type: ignore[arg-type]
    return image


@cache
def _add_heic() -> None:
    """Let Pillow open HEIC files if pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener(thumbnails=False)


def _check_size(image: Image.Image) -> None:
    """Raise _BadImageError if an image has too many pixels, or none."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _BadImageError(f"too large: {width} x {height} pixels")
    if not width * height:
        raise _BadImageError("unreadable: no pixels")


def _decode(image: Image.Image, at_least: int | None) -> Image.Image:
    """Return an image with its pixels, upright and in RGB. Raises _BadImageError if it is damaged."""
    _check_size(image)
    try:
        image.load()
        image = _rgb(_upright(image))
        factor = 1 if at_least is None else min(image.size) // (2 * at_least)
        return image.reduce(factor) if factor > 1 else image
    except Warning:
        raise
    except Exception as error:  # Pillow's readers raise nearly any error for damaged bytes
        text = str(error).lower()
        cut = isinstance(error, EOFError) or any(
            word in text for word in ("truncated", "broken", "data stream", "cannot load")
        )
        raise _BadImageError("truncated" if cut else f"unreadable: {error or type(error).__name__}") from None


def _upright(image: Image.Image) -> Image.Image:
    """Return an image, rotated by its EXIF orientation."""
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image  # exif_transpose copies the pixels
    except Warning:
        raise
    except Exception:  # an image with damaged EXIF data is not rotated
        return image


def _rgb(image: Image.Image) -> Image.Image:
    """Return an image in RGB, with white for transparent pixels."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _scaled(image).convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), layered).convert("RGB")
    return image.convert("RGB")


def _scaled(image: Image.Image) -> Image.Image:
    """Return an image with more than 8 bits per gray value, scaled to 8 bits. `convert` would clip the values."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0, neginf=0)
    low, high = min(0.0, float(values.min())), float(values.max())
    ranges = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
    top = next((top for top in ranges if high <= top), high)
    return Image.fromarray(np.rint((values - low) * (255 / (top - low))).astype(np.uint8))
