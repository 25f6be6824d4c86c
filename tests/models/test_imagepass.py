"""The image pass against the tower's own forward."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize
from transformers import CLIPModel

import support
from srrs.models import imagepass
from srrs.models.imagepass import VisionTransformer, image_pass


def both(model: CLIPModel, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of the pass and of `get_image_features`."""
    with torch.no_grad():
        own = normalize(model.get_image_features(pixel_values=pixels).pooler_output.float(), dim=-1)
        return image_pass(VisionTransformer.of(model.vision_model, model.visual_projection), pixels), own


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_it_gives_the_towers_own_features(tmp_path: Path, act: str, layers: int) -> None:
    model = CLIPModel.from_pretrained(support.tiny_clip(tmp_path / "clip", act=act, layers=layers))
    torch.testing.assert_close(*both(model, torch.randn(5, 3, 32, 32)))


def test_in_half_precision_it_is_no_further_off_than_the_towers_own(tmp_path: Path) -> None:
    model = CLIPModel.from_pretrained(support.tiny_clip(tmp_path / "clip"))
    pixels = torch.randn(5, 3, 32, 32)
    exact, _ = both(model, pixels)
    ours, own = both(model.to(torch.bfloat16), pixels.to(torch.bfloat16))
    assert ours.dtype == torch.float32
    assert (ours - exact).abs().max() < max(1e-3, 2 * float((own - exact).abs().max()))


def test_pictures_run_a_few_at_a_time_or_all_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = CLIPModel.from_pretrained(support.tiny_clip(tmp_path / "clip"))
    pixels = torch.randn(7, 3, 32, 32)
    together, own = both(model, pixels)
    for tokens in (1, 40):  # a picture, or two, at a time
        monkeypatch.setattr(imagepass, "CPU_TOKENS", tokens)
        torch.testing.assert_close(both(model, pixels)[0], own)
    torch.testing.assert_close(together, own)
