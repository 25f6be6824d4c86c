import numpy as np
import pytest

from srrs.bench.anchors import PUBLISHED, anchors, backbone, plain
from srrs.methods.zoo import METHODS

RATES = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75)
AVERAGES = {  # the average rows of the SRRS paper's Table 1, as printed
    ("CoOp", "sym"): (71.28, 65.89, 60.47, 54.33, 45.46, 33.73),
    ("CoOp", "pair"): (71.34, 62.94, 52.07, 39.16, 25.84, 14.03),
    ("Robust UPL", "sym"): (72.76, 70.23, 66.49, 61.97, 55.52, 44.44),
    ("JoAPR", "pair"): (74.39, 73.71, 71.85, 67.48, 64.00, 56.33),
    ("JoAPR*", "sym"): (74.55, 74.62, 73.58, 71.36, 68.09, 62.88),
    ("SRRS", "sym"): (77.47, 77.29, 75.87, 74.63, 72.80, 70.01),
    ("SRRS", "pair"): (77.55, 76.21, 74.15, 71.27, 69.08, 65.44),
}


@pytest.fixture(scope="module")
def published():
    return anchors()


@pytest.mark.parametrize("of", AVERAGES)
def test_the_averages_over_ten_data_sets_are_those_the_paper_prints(published, of):
    table = [a for a in published if a.source == "SRRS (IJCAI 2025), Table 1" and (a.method, a.noise_kind) == of]
    found = [[a.accuracy for a in table if a.noise_rate == rate] for rate in RATES]
    assert [len(column) for column in found] == [10] * 6
    np.testing.assert_allclose(100 * np.mean(found, axis=1), AVERAGES[of], atol=0.011)


def test_numbers_that_anyone_can_look_up_are_there(published):
    at = {(a.dataset, a.method, a.protocol, a.noise_kind, a.noise_rate): round(100 * a.accuracy, 2) for a in published}
    assert at["Caltech101", "SRRS", "fp-injection", "pair", 0.75] == 88.88
    assert at["Caltech101", "SRRS", "fp-injection", "sym", 1.0] == 87.71
    assert at["DTD", "NLPrompt", "label-flip", "sym", 0.5] == 55.2
    assert at["OxfordPets", "NA-MVP", "label-flip", "sym", 0.75] == 86.23


def test_every_number_is_possible_has_a_source_and_is_there_once(published):
    keys = [(a.dataset, a.method, a.protocol, a.noise_kind, a.noise_rate, a.backbone, a.shots) for a in published]
    assert len(set(keys)) == len(keys) == 1088
    assert all(0 < a.accuracy < 1 and a.source and a.classes > 1 for a in published)
    assert {a.noise_rate for a in published} == {*RATES, 1.0}
    assert {a.noise_kind for a in published} == {"sym", "pair"}
    assert {(a.protocol, a.backbone, a.shots) for a in published} == {
        ("fp-injection", "RN50", 16),
        ("label-flip", "RN50", 16),
    }


def test_a_data_set_has_one_number_of_classes(published):
    sizes = {a.dataset: a.classes for a in published}
    assert {(a.dataset, a.classes) for a in published} == set(sizes.items())


def test_our_names_lead_to_published_ones(published):
    assert set(PUBLISHED) <= set(METHODS)
    assert set(PUBLISHED.values()) <= {a.method for a in published}


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("RN50", "RN50"),
        ("open_clip:RN50", "RN50"),
        ("open_clip:RN50:openai", "RN50"),
        ("open_clip:RN50-quickgelu/openai", "RN50"),
        ("hf-hub:timm/resnet50_clip.openai", "RN50"),
        ("open_clip:RN50:yfcc15m", "open_clip:RN50:yfcc15m"),
        ("open_clip:RN50x4:openai", "open_clip:RN50x4:openai"),
        ("openai/clip-vit-base-patch32", "openai/clip-vit-base-patch32"),
        ("bundled", "bundled"),
    ],
)
def test_only_openais_rn50_is_the_papers_backbone(model, wanted):
    assert backbone(model) == wanted


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("caltech101", "Caltech101"), ("caltech-101", "Caltech101"), ("oxford_flowers", "Flowers102"),
     ("stanford_cars", "StanfordCars"), ("oxford_pets", "OxfordPets"), ("pets", "OxfordPets"), ("sun397", "SUN397"),
     ("describable_textures", "DTD"), ("ucf101", "UCF101"), ("imagenet", "ImageNet"), ("food-101", "Food101")],
)  # fmt: skip
def test_a_data_set_is_known_under_the_names_it_goes_by(ours, theirs, published):
    assert plain(ours) == plain(theirs)
    assert theirs in {a.dataset for a in published}


def test_another_data_set_is_not_taken_for_one():
    assert plain("food101n") != plain("Food101")
