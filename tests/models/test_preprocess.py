"""Preprocessing against transformers' own Pillow processors."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BlipImageProcessorPil, CLIPImageProcessorPil, SiglipImageProcessorPil, ViTImageProcessorPil

from srrs.errors import ModelError
from srrs.models.preprocess import Preprocessing

SIZES = [(64, 64), (33, 57), (57, 33), (224, 31), (9, 120), (97, 96), (20, 20)]
PROCESSORS = {
    "clip": CLIPImageProcessorPil(size={"shortest_edge": 48}, crop_size={"height": 48, "width": 48}),
    "clip, crop larger than the picture": CLIPImageProcessorPil(
        size={"shortest_edge": 31}, crop_size={"height": 48, "width": 45}
    ),
    "clip, crop alone": CLIPImageProcessorPil(do_resize=False, crop_size={"height": 48, "width": 48}),
    "clip, bare pixels": CLIPImageProcessorPil(
        size={"shortest_edge": 40}, crop_size={"height": 40, "width": 40}, do_normalize=False
    ),
    "siglip": SiglipImageProcessorPil(size={"height": 48, "width": 40}),
    "vit": ViTImageProcessorPil(size={"height": 32, "width": 32}),
    "blip": BlipImageProcessorPil(size={"height": 48, "width": 48}),
}


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX)


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("size", SIZES)
def test_gives_the_bits_of_the_models_own_processor(name: str, size: tuple[int, int]) -> None:
    processor, image = PROCESSORS[name], picture(*size)
    theirs = torch.from_numpy(np.asarray(processor(image, return_tensors="np")["pixel_values"][0], np.float32))
    ours = Preprocessing.of(processor).plain(image)
    assert ours.dtype == torch.float32
    assert torch.equal(ours, theirs)


def test_a_view_of_the_whole_picture_is_the_picture_scaled() -> None:
    preprocessing = Preprocessing.of(PROCESSORS["siglip"])
    image = picture(57, 33)
    whole = preprocessing.view(image, (0, 0, 57, 33), flip=False)
    assert torch.equal(whole, preprocessing.plain(image))
    assert torch.equal(preprocessing.view(image, (0, 0, 57, 33), flip=True), whole.flip(-1))


def test_a_view_at_whole_pixels_is_the_crop_scaled() -> None:
    preprocessing = Preprocessing.of(PROCESSORS["clip"])
    image = picture(97, 96)
    view = preprocessing.view(image, (10, 20, 70, 80), flip=False)
    assert view.shape == (3, 48, 48)
    assert (view - preprocessing.plain(image.crop((10, 20, 70, 80)))).abs().mean() < 0.1  # the filter sees beyond a box


def test_settings_that_give_pictures_of_many_sizes_are_refused() -> None:
    with pytest.raises(ModelError, match="images of one size"):
        Preprocessing.of(CLIPImageProcessorPil(size={"shortest_edge": 48}, do_center_crop=False))
    with pytest.raises(ModelError, match="shortest_edge or height and width"):
        Preprocessing.of(SiglipImageProcessorPil(size={"shortest_edge": 30, "longest_edge": 60}))
