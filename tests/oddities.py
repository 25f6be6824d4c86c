"""Files as they are found in real folders of images: damaged, of odd kinds, and with odd names."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

try:
    import pillow_heif
except ImportError:
    HEIC = False
else:
    pillow_heif.register_heif_opener()
    HEIC = True

NO_ROW = None
"""Expected of files that are not images by their names."""
HEIC_ISSUE = "" if HEIC else "unreadable"


def saved(mode: str = "RGB", size: tuple[int, int] = (96, 72), **options: object) -> Callable[[Path], None]:
    """Return a function that writes a noisy image of a mode to a path."""

    def write(path: Path) -> None:
        noise = np.random.default_rng(len(path.name)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(noise).convert(mode).save(path, **options)

    return write


def sixteen_bit(path: Path) -> None:
    Image.fromarray(np.arange(96 * 72, dtype=np.uint16).reshape(72, 96) * 9).save(path)


def animated(path: Path) -> None:
    frames = [Image.new("RGB", (96, 72), color) for color in ("red", "green", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def truncated(path: Path) -> None:
    saved(format="JPEG")(path)
    path.write_bytes(path.read_bytes()[:1000])


def bomb(path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(path)


def rotated(path: Path) -> None:
    image = Image.new("RGB", (96, 72), "navy")
    image.getexif()[0x0112] = 6
    image.save(path, exif=image.getexif())


def text(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(content) and None


def a_socket(path: Path) -> None:
    """Bind below the folder itself, as the path of a socket must be short."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(path.name)
    finally:
        os.chdir(before)


PICTURE = saved(format="JPEG")
ODDITIES: dict[str, tuple[Callable[[Path], object], str | None]] = {
    "truncated.jpg": (truncated, "truncated"),
    "empty.jpg": (lambda path: path.touch(), "empty file"),
    "animated.gif": (animated, ""),
    "animated.webp": (animated, ""),
    "cmyk.jpg": (saved("CMYK"), ""),
    "16bit.png": (sixteen_bit, ""),
    "16bit.tif": (sixteen_bit, ""),
    "palette.png": (saved("P"), ""),
    "transparent.png": (saved("RGBA"), ""),
    "gray-alpha.png": (saved("LA"), ""),
    "one-bit.png": (saved("1"), ""),
    "gray.jpg": (saved("L"), ""),
    "rotated.jpg": (rotated, ""),
    "a-png.jpg": (saved(format="PNG"), ""),
    "a-text.jpg": (text("no image"), "unreadable"),
    "a-page.png": (text("<script>alert(1)</script>"), "unreadable"),
    "a-postscript.jpg": (saved(format="EPS"), "unreadable"),
    "phone.HEIC": (saved(format="HEIF") if HEIC else text("ftypheic"), HEIC_ISSUE),
    "new.avif": (saved(), ""),
    "old.bmp": (saved(), ""),
    "older.ppm": (saved(), ""),
    "icon.ico": (saved(size=(64, 64)), ""),
    "jpeg-2000.jp2": (saved(), ""),
    "one-pixel.png": (saved(size=(1, 1)), ""),
    "a-strip.png": (saved(size=(1, 3000)), ""),
    "bomb.png": (bomb, "too large"),
    "Größe 東京 🦀.jpg": (PICTURE, ""),
    "\u202egpj.right-to-left.jpg": (PICTURE, ""),
    "new\nline.jpg": (PICTURE, ""),
    os.fsdecode(b"bytes-\xff\xfe.jpg"): (PICTURE, ""),
    "<img src=x onerror=\"document.title='owned'\">.jpg": (PICTURE, ""),
    '=HYPERLINK("http:example.invalid").jpg': (PICTURE, ""),
    '"quote", comma; tab\t.jpg': (PICTURE, ""),
    "-rf --yes.jpg": (PICTURE, ""),
    " spaces around .jpg": (PICTURE, ""),
    "x" * 250 + ".jpg": (PICTURE, ""),
    "white.png": (lambda path: Image.new("L", (96, 72), 255).save(path), ""),
    "black.png": (lambda path: Image.new("L", (96, 72)).save(path), ""),
    "link-to-itself.jpg": (lambda path: path.symlink_to(path.name), "unreadable"),
    "link-to-nothing.jpg": (lambda path: path.symlink_to("gone.jpg"), "missing file"),
    "fifo.jpg": (lambda path: os.mkfifo(path), "unreadable"),
    "socket.jpg": (a_socket, "unreadable"),
    "a-folder.jpg": (lambda path: path.mkdir(), NO_ROW),
    "loop": (lambda path: path.symlink_to("..", target_is_directory=True), NO_ROW),
    ".hidden.jpg": (PICTURE, NO_ROW),
    "Thumbs.db": (text("thumbnails"), NO_ROW),
    "notes.txt": (text("labeled by me"), NO_ROW),
}
"""How to write each file, and the issue that its row has: '' for an image that can be used."""


def add_oddities(folder: Path) -> dict[str, str | None]:
    """Write every oddity into a folder; return the expected issue of each by its name."""
    for name, (write, _) in ODDITIES.items():
        write(folder / name)
    return {name: issue for name, (_, issue) in ODDITIES.items()}


def add_duplicates(image: Path, same_class: Path, other_class: Path) -> None:
    """Copy an image within its class, into another class, and compress it once more."""
    shutil.copy(image, same_class / "copy.jpg")
    shutil.copy(image, other_class / "copy.jpg")
    Image.open(image).save(same_class / "compressed-again.jpg", quality=70)
