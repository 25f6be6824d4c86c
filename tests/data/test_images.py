import hashlib
import io
import sys
import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps

from srrs.data import images
from srrs.data.images import inspect, open_gray_or_rgb, open_rgb, problem
from srrs.errors import DataError

RNG = np.random.default_rng(0)


def noise(width=40, height=24):
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_as_pillow_does(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(noise(), kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert np.array_equal(open_rgb(data), expected)


def test_gray_files_stay_gray_where_that_is_asked(tmp_path):
    picture = noise()
    for name, mode in (("a.png", "L"), ("b.jpg", "L"), ("c.png", "RGB"), ("d.png", "LA"), ("e.png", "P")):
        path = tmp_path / name
        picture.convert("L").convert(mode).save(path)
        opened = open_gray_or_rgb(path)
        assert opened.mode == ("L" if mode == "L" else "RGB")
        assert np.array_equal(opened.convert("RGB"), open_rgb(path))
    with pytest.raises(DataError, match=r"gone.png is not: missing file"):
        open_gray_or_rgb(tmp_path / "gone.png")


def test_damaged_exif_does_not_spoil_the_picture():
    data = saved(noise(), "JPEG", exif=b"Exif\0\0II*\0garbage that is no directory")
    assert open_rgb(data).size == (40, 24)


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "HSV", "CMYK"])
def test_other_modes_become_rgb(mode):
    image = noise().convert(mode)
    opened = open_rgb(image)
    assert opened.mode == "RGB"
    assert np.array_equal(opened, image.convert("RGB"))


def test_a_cmyk_jpeg_keeps_its_color():
    data = saved(Image.new("RGB", (32, 32), (200, 40, 40)).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(np.asarray(open_rgb(data), int) - (200, 40, 40)).max() < 6


def test_transparency_is_laid_on_white():
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert np.asarray(open_rgb(saved(half, "PNG")))[0, 0].tolist() == [127, 127, 127]
    gray = Image.new("LA", (4, 4), (10, 0))
    assert np.asarray(open_rgb(saved(gray, "PNG"))).min() == 255
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    assert np.asarray(open_rgb(saved(palette, "PNG", transparency=0))).min() == 255
    assert np.asarray(open_rgb(saved(palette, "PNG")))[0, 0].tolist() == [255, 0, 0]


def test_sixteen_bits_are_scaled_and_not_clipped():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    opened = np.asarray(open_rgb(saved(Image.fromarray(ramp), "PNG")))[..., 0]
    assert np.abs(opened.ravel().astype(int) - np.arange(256)).max() <= 1
    deep = Image.fromarray(ramp.astype(np.int32))
    assert np.array_equal(np.asarray(open_rgb(saved(deep, "TIFF")))[..., 0], opened)


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_floats_are_scaled_by_the_range_they_use(top):
    ramp = (np.arange(256) / 255 * top).astype(np.float32).reshape(16, 16)
    opened = np.asarray(open_rgb(Image.fromarray(ramp)))[..., 1]
    assert np.abs(opened.ravel().astype(int) - np.arange(256)).max() <= 1


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(open_rgb(data))[0, 0].tolist() == [255, 0, 0]


def test_files_that_cannot_be_used_say_why(tmp_path):
    jpeg, png = saved(noise(200, 200), "JPEG"), saved(noise(200, 200), "PNG")
    assert problem(jpeg) == problem(png) == ""
    assert problem(jpeg[: len(jpeg) // 2]) == "truncated"
    assert problem(png[: len(png) // 2]) == "truncated"
    assert problem(b"") == "empty file"
    assert problem(b"these are words") == "unreadable: not an image"
    assert problem(tmp_path / "none.jpg") == "missing file"
    assert problem(tmp_path).startswith("unreadable: ")


def test_heic_opens_where_its_package_is_installed_and_names_it_where_not(monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    data = saved(noise(64, 64), "HEIF", quality=90)
    assert open_rgb(data).size == (64, 64)
    monkeypatch.delitem(Image.OPEN, "HEIF")
    images._add_heic.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert problem(data) == "unreadable: HEIC needs pillow-heif (pip install 'srrs[heic]')"
    images._add_heic.cache_clear()


def test_postscript_is_never_run():
    assert problem(saved(noise(), "EPS")) == "unreadable: not an image"


def test_an_image_that_makes_pillow_warn_opens_the_same_under_any_warnings_filter():
    data = bytearray(saved(noise(), "TIFF"))
    opened = []
    for at in range(8, 180):  # damage the directory, which lies at the beginning
        changed = bytes(data[:at] + b"\xff" + data[at + 1 :])
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            loose = problem(changed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert problem(changed) == loose
        opened.append(bool(seen) and not loose)
    assert any(opened)


def test_an_error_names_the_file(tmp_path):
    path = tmp_path / "cut.jpg"
    path.write_bytes(saved(noise(99, 99), "JPEG")[:700])
    with pytest.raises(DataError, match=r"cut\.jpg is not: truncated"):
        open_rgb(path)


def test_a_huge_picture_is_refused_from_its_header_alone():
    header = saved(Image.new("1", (1, 1)), "BMP")
    data = header[:18] + (20_000).to_bytes(4, "little") * 2 + header[26:]
    assert problem(data) == "too large: 20000 x 20000 pixels"


def test_a_large_picture_within_our_limit_opens_without_a_warning(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert open_rgb(saved(noise(), "PNG")).size == (40, 24)
    assert Image.MAX_IMAGE_PIXELS == 100
    monkeypatch.setattr(images, "MAX_PIXELS", 900)
    assert problem(saved(noise(), "PNG")) == "too large: 40 x 24 pixels"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(900, 640), (257, 1030), (64, 64), (65, 70)])
def test_shrinking_keeps_twice_what_is_asked(size, kind):
    gradient = Image.linear_gradient("L").resize(size)
    opened = open_rgb(saved(gradient, kind, quality=95), at_least=32)
    assert 64 <= min(opened.size) < 200
    full = gradient.convert("RGB").resize(opened.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(full, int) - np.asarray(opened, int)).max() < 12


def test_a_picture_of_the_caller_is_left_as_it_was():
    lazy = Image.open(io.BytesIO(saved(noise(800, 800), "JPEG")))
    open_rgb(lazy, at_least=16)
    assert lazy.size == (800, 800)


def test_inspect_gives_the_digest_of_the_bytes(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(data := saved(noise(), "PNG"))
    assert inspect(path) == (hashlib.sha256(data).hexdigest(), "")
    assert inspect(tmp_path / "b.png") == ("", "missing file")


def test_quiet_restores_the_filters():
    before = list(warnings.filters)
    with images.quiet():
        pass
    assert warnings.filters == before
