"""What every tuner keeps to, whatever it learns, and how tuners are named and built."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from srrs.errors import SettingsError
from srrs.models.base import VisionLanguage
from srrs.records import Batch
from srrs.tuners import TUNERS, ClassPrompt, Foundation, Head, LinearProbe, TaskResidual, Tuner, average, build

KINDS: list[tuple[str, dict[str, Any]]] = [
    *((kind, {}) for kind in TUNERS),
    ("class-prompt", {"shared": False, "prompts": 2, "average": "logits"}),
    ("described-prompt", {"random": 4, "position": "middle"}),
]
LABELS = torch.arange(11) % 3


@pytest.fixture(params=KINDS, ids=str)
def tuner(request, foundation) -> Tuner:
    """Each kind of tuner, after a step that moved its parameters."""
    kind, options = request.param
    made = build(kind, foundation(), options)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return made


def test_the_exported_classifier_gives_the_same_logits(tuner: Tuner, images: Batch) -> None:
    exported = tuner.export()
    found = exported(images)
    assert found.shape == (11, 3)
    assert not found.requires_grad
    torch.testing.assert_close(found, tuner.logits(images).detach(), atol=1e-5, rtol=1e-5)
    assert isinstance(exported, Head)  # all of ours are linear
    assert exported.weights.shape == (3, images.features.shape[1])


def test_an_exported_classifier_stays_as_it_was_when_its_tuner_learns_on(tuner: Tuner, images: Batch) -> None:
    exported = tuner.export()
    before = exported(images)
    with torch.no_grad():
        for parameter in tuner.parameters():
            parameter.add_(1.0)
    assert torch.equal(exported(images), before)


def test_gradients_reach_its_own_parameters_and_no_others(tuner: Tuner, tower: VisionLanguage, images: Batch) -> None:
    own = list(tuner.parameters())
    assert own
    cross_entropy(tuner.logits(images), LABELS).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in own)
    assert all(parameter.grad is None for parameter in tower.model.parameters())
    assert images.features.grad is None


def test_every_parameter_is_in_one_group_at_the_tuners_own_rate(tuner: Tuner) -> None:
    tuner.learning_rate = 0.123
    groups = tuner.parameter_groups()
    assert [id(p) for group in groups for p in group["params"]] == [id(p) for p in tuner.parameters()]
    assert {group["lr"] for group in groups} == {0.123}


def test_nothing_of_the_frozen_model_is_saved(tuner: Tuner) -> None:
    assert tuner.state_dict().keys() == dict(tuner.named_parameters()).keys()
    assert sum(p.numel() for p in tuner.parameters()) < 1000


def test_a_batch_of_pixels_is_refused_by_a_tuner_of_features(tuner: Tuner) -> None:
    with pytest.raises(ValueError, match="expected a batch with features, but it holds only pixels"):
        tuner.logits(Batch(pixels=torch.zeros(1, 3, 8, 8)))


def test_a_text_tower_that_is_a_module_is_neither_tuned_nor_saved(foundation, tower: VisionLanguage) -> None:
    class Tower(torch.nn.Module):
        """A text tower as another package may write it."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = tower.model

        def __getattr__(self, name: str) -> Any:
            return super().__getattr__(name) if name in ("inner", "_modules") else getattr(tower, name)

    prompt = build("class-prompt", foundation(text=Tower()), {})
    assert [name for name, _ in prompt.named_parameters()] == ["layout.context"]
    assert prompt.class_weights().shape == (3, tower.feature_size)


def test_task_residual_starts_as_the_class_vectors(foundation, images: Batch) -> None:
    base = foundation()
    exported = build("task-residual", base, {}).export()
    assert torch.equal(exported.weights, base.class_vectors)
    assert exported.scale == base.logit_scale
    torch.testing.assert_close(exported(images), base.logit_scale * images.features @ base.class_vectors.T)


def test_task_residual_may_start_as_the_described_classes(foundation) -> None:
    described = torch.eye(3, 24)
    for option, expected in ((True, described), (False, foundation().class_vectors)):
        made = build("task-residual", foundation(described_vectors=described), {"described": option})
        assert torch.equal(made.export().weights, expected)
    assert torch.equal(TaskResidual(foundation(), described=True).export().weights, foundation().class_vectors)
    with pytest.raises(SettingsError, match="starts from class vectors, but there are none"):
        TaskResidual(foundation(class_vectors=None))


def test_a_gradient_step_of_task_residual_is_that_of_a_linear_probe(foundation, images: Batch) -> None:
    residual = TaskResidual(foundation(class_vectors=torch.zeros(3, 24)))
    probe = LinearProbe(foundation())
    assert residual.learning_rate == probe.learning_rate
    for tuner in (residual, probe):
        cross_entropy(tuner.logits(images), LABELS).backward()
    torch.testing.assert_close(residual.residual.grad, probe.weight.grad)


def test_the_mean_of_linear_classifiers_is_one_head(images: Batch) -> None:
    heads = [Head(torch.randn(3, 24), 2.0), Head(torch.randn(3, 24), 50.0, torch.randn(3))]
    for some in (heads, heads[:1], heads[1:]):
        mean = average(some)
        assert isinstance(mean, Head)
        torch.testing.assert_close(mean(images), torch.stack([head(images) for head in some]).mean(0))

    def bent(batch: Batch) -> Tensor:
        return batch.features[:, :3].abs()

    mixed = average([*heads, bent])
    assert not isinstance(mixed, Head)
    torch.testing.assert_close(mixed(images), (heads[0](images) + heads[1](images) + bent(images)) / 3)
    assert average([bent]) is bent


class Bent(Tuner):
    """A tuner that is not linear, with dropout."""

    def __init__(self, foundation: Foundation, *, width: int = 4):
        super().__init__()
        self.network = torch.nn.Sequential(
            torch.nn.Linear(foundation.feature_size, width), torch.nn.Tanh(), torch.nn.Dropout(0.5),
            torch.nn.Linear(width, len(foundation.class_names)),
        )  # fmt: skip

    def logits(self, batch: Batch) -> Tensor:
        return self.network(batch.features)


def test_a_tuner_that_is_not_linear_is_exported_without_dropout_and_gradients(foundation, images: Batch) -> None:
    bent = Bent(foundation())
    exported = bent.export()
    assert torch.equal(exported(images), exported(images))
    assert not exported(images).requires_grad
    assert bent.training
    assert bent.network[2].training
    assert not torch.equal(bent.logits(images), bent.logits(images))
    bent.eval()
    assert torch.equal(exported(images), bent.logits(images))
    assert not bent.training


def test_a_tuner_without_logits_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match=r"Tuner must define logits\(batch\)"):
        Tuner().logits(Batch())
    with pytest.raises(NotImplementedError, match="Tuner is trained in steps"):
        Tuner().fit(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1))


def test_a_tuner_is_named_by_a_kind_a_class_or_module_and_class(foundation, monkeypatch) -> None:
    module = type(sys)("outside_tuners")
    module.Bent = Bent
    monkeypatch.setitem(sys.modules, "outside_tuners", module)
    for kind in (Bent, "outside_tuners:Bent"):
        made = build(kind, foundation(), {"width": 7})
        assert type(made) is Bent
        assert made.network[0].out_features == 7


def test_a_tuner_object_is_copied_but_not_its_tower(foundation) -> None:
    base = foundation()
    given = ClassPrompt(base, prompts=2)
    made = build(given, base, {})
    assert made is not given
    assert made.text is given.text
    assert torch.equal(made.layout.context, given.layout.context)
    with torch.no_grad():
        made.layout.context.add_(1.0)
    assert not torch.equal(made.layout.context, given.layout.context)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("class-promt", {}, "There is no tuner 'class-promt'; did you mean class-prompt"),
        ("zzz", {}, "choose one of class-prompt, .*, or name module:class"),
        ("no_such_module:Adapter", {}, "Expected the tuner 'no_such_module:Adapter' as package.module:class on"),
        ("srrs.tuners:Adapter", {}, "Expected the tuner 'srrs.tuners:Adapter' as package.module:class"),
        ("srrs.tuners:build", {}, "Expected a tuner, a class derived from srrs.tuners.Tuner, but found <function"),
        (dict, {}, "Expected a tuner, a class derived from"),
        ("linear-probe", {"words": "a"}, "The tuner LinearProbe has no option 'words'; it has none"),
        ("task-residual", {"describd": 1}, "has no option 'describd'; it has described"),
    ],
)
def test_what_is_no_tuner_or_no_option_of_it_is_refused(
    foundation: Callable[..., Foundation], kind: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        build(kind, foundation(), options)
