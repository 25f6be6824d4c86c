"""Live views: the same features as the cached ones where the crops are the same, and fresh crops in every step."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from PIL import Image

from srrs.data.samples import Samples, checked, from_paths
from srrs.features.cached import CachedFeatures
from srrs.features.live import LiveImages
from srrs.features.store import encode
from srrs.methods.spec import method
from srrs.methods.stages import TunerSpec
from srrs.models.base import VisionLanguage
from srrs.models.hub import load_model
from srrs.records import Batch
from srrs.training.loop import train
from srrs.training.schedule import Schedule
from srrs.tuners import Foundation, LinearProbe, Tuner

SEED = 4


@pytest.fixture(scope="module")
def model() -> VisionLanguage:
    return load_model("bundled", device="cpu")  # a random model hardly tells crops apart


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Ten images of different sizes, some so large that they are shrunk while they are read."""
    folder, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    paths = []
    for number in range(10):
        small = Image.fromarray(generator.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        paths.append(folder / f"{number}.{'png' if number % 2 else 'jpg'}")
        small.resize((120 + 30 * number, 300 - 10 * number), Image.Resampling.BICUBIC).save(paths[-1])
    return checked(from_paths(paths))


def live(samples: Samples, model: VisionLanguage, views: int = 3, **options) -> LiveImages:
    """Live images beside as many cached views."""
    rows = np.arange(len(samples))
    features = encode(samples, rows, model, views, seed=SEED)
    cached = CachedFeatures(features, samples.content_keys)
    return LiveImages(cached, [samples.pictures(row) for row in rows], model, SEED, **options)


def test_live_views_are_the_cached_ones_where_the_crops_are_the_same(samples: Samples, model: VisionLanguage) -> None:
    source = live(samples, model)
    rows, views = np.array([9, 2, 5, 0]), np.array([[0, 1, 2, 3]] * 4)
    found, expected = source.batch(rows, views).features, source.cached.batch(rows, views).features
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=5e-4, rtol=0)  # the last bit of float16
    assert (found == expected).float().mean() > 0.9
    for one, other in ((0, 1), (1, 2), (4, 5)):  # other crops, other features
        assert (found[one] - found[other]).abs().max() > 0.01


def test_later_views_are_crops_that_no_cache_holds(samples: Samples, model: VisionLanguage) -> None:
    source = live(samples, model, views=0)
    assert source.augmented is None
    few = source.batch(np.array([3]), np.array([[0, 1, 50, 51]])).features
    assert len({tuple(view.tolist()) for view in few}) == 4
    torch.testing.assert_close(few[2:], source.batch(np.array([3]), np.array([[50, 51]])).features)
    np.testing.assert_array_equal(source.mean_view(slice(2, 4)), source.cached.mean_view(slice(2, 4)))
    np.testing.assert_array_equal(source.unit_features(), source.cached.unit_features())


def test_a_sample_of_several_images_has_the_mean_of_their_features(samples: Samples, model: VisionLanguage) -> None:
    others = tuple(((samples.keys[9 - row], samples.paths[9 - row]),) if row < 3 else () for row in range(5))
    several = replace(samples.take(range(5)), others=others)
    source = live(several, model)
    rows, views = np.arange(5), np.array([[0, 1, 3]] * 5)
    torch.testing.assert_close(
        source.batch(rows, views).features, source.cached.batch(rows, views).features, atol=1e-3, rtol=0
    )
    with pytest.raises(ValueError, match="batches of pixels cannot average several"):
        replace(source, pixels=True)
    with pytest.raises(ValueError, match="expected images of 5 samples, but got 4"):
        replace(source, images=source.images[:4])


@dataclass(frozen=True, eq=False)
class Watched(LiveImages):
    """Live images that keep the view numbers they were asked for."""

    asked: list[np.ndarray] = field(default_factory=list)

    def batch(self, rows: np.ndarray, views: np.ndarray) -> Batch:
        self.asked.append(views)
        return super().batch(rows, views)


def test_every_step_sees_fresh_crops(samples: Samples, model: VisionLanguage) -> None:
    source = live(samples, model, views=0)
    watched = Watched(source.cached, source.images, model, SEED)
    probe = LinearProbe(Foundation(("a", "b"), model.feature_size, 100.0, model.device))
    train(method("coop(tuners=probe)"), [probe], watched, np.arange(10) % 2, Schedule(steps=4, batch=4, views=3))
    numbers = [set(views.ravel().tolist()) for views in watched.asked]
    assert [len(step) for step in numbers] == [3, 3, 3, 3]
    assert len(set.union(*numbers)) == 12
    assert 0 not in set.union(*numbers)


class Colors(Tuner):
    """A tuner that reads pixels: the mean color of each image, times learned weights."""

    needs = "pixels"

    def __init__(self, foundation: Foundation):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(len(foundation.class_names), 3))

    def logits(self, batch: Batch) -> torch.Tensor:
        return batch.pixels.mean((2, 3)) @ self.weight.T


def test_a_tuner_that_reads_pixels_learns_from_live_images(samples: Samples, model: VisionLanguage) -> None:
    source = live(samples, model, views=0, pixels=True)
    found = source.batch(np.array([1, 4]), np.array([[0, 1]] * 2))
    assert found.features is None
    torch.testing.assert_close(found.pixels[0], model.preprocess(Image.open(samples.paths[1])), atol=1e-6, rtol=0)
    assert found.pixels.shape == (4, 3, 48, 48)
    colors = replace(method("coop(tuners=probe)"), tuners=(TunerSpec("colors", Colors),))
    tuner = Colors(Foundation(("a", "b"), model.feature_size, 100.0, model.device))
    tuned = train(colors, [tuner], source, np.arange(10) % 2, Schedule(steps=3, batch=4, views=2))
    assert tuner.weight.abs().sum() > 0
    assert tuned.predicted["colors"].shape == (10,)
    with pytest.raises(ValueError, match="the tuner 'colors' reads pixels: give a source of live images"):
        train(colors, [tuner], source.cached, np.arange(10) % 2)
