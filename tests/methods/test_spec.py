"""Methods as text: what can be replaced, and what is said where it cannot."""

import sys
from pathlib import Path

import pytest

from srrs.errors import SettingsError
from srrs.methods.spec import method, needs, split_list, stages
from srrs.methods.stages import MACRO, MICRO, PROBE, Screen, TunerSpec
from srrs.records import Group


def test_a_name_alone_is_the_method() -> None:
    assert method("srrs").name == "srrs"
    assert method(" srrs-paper() ").rounds == method("srrs-paper").rounds


def test_a_stage_is_replaced_by_name_or_with_its_arguments(evidence) -> None:
    given = evidence()
    replaced = method("srrs(screen=trust_all, rectify=keep)")
    assert (replaced.screen(given, {})[0].group == Group.CLEAN).all()
    wide, narrow = (method(f"srrs(screen=bands(theta={theta}))").screen(given, {})[0] for theta in (0.5, 1e-6))
    assert wide.thresholds.upper != narrow.thresholds.upper
    assert replaced.name == "srrs(screen=trust_all,rectify=keep)"


def test_tuners_numbers_and_divergences_are_replaced() -> None:
    found = method("srrs-paper(tuners=macro, rounds=3, warm_up=0.5, loss=co_regularized(divergence=js))")
    assert (found.tuners, found.rounds, found.warm_up) == ((MACRO,), 3, 0.5)


@pytest.mark.parametrize(
    ("text", "tuners"),
    [
        ("both", (MACRO, MICRO)),
        ("[macro, probe]", (MACRO, PROBE)),
        ("my.module:Adapter", (TunerSpec("Adapter", "my.module:Adapter"),)),
        ("'my.module:Adapter'", (TunerSpec("Adapter", "my.module:Adapter"),)),
        ("task_residual", (TunerSpec("task_residual", "task-residual"),)),
        (
            "[macro(prompts=4), my.module:Adapter(name='mine', rank=2, votes=False, learning_rate=0.1)]",
            (
                TunerSpec("macro", "class-prompt", {"prompts": 4}),
                TunerSpec("mine", "my.module:Adapter", {"rank": 2}, votes=False, learning_rate=0.1),
            ),
        ),
    ],
)
def test_tuners_are_named_called_listed_or_from_outside(text: str, tuners: tuple[TunerSpec, ...]) -> None:
    assert method(f"coop(tuners={text})").tuners == tuners


def test_a_method_may_be_an_object() -> None:
    made = method("coop")
    assert method(made) is made
    assert needs(made) == ()


def test_a_method_reads_what_its_stages_read() -> None:
    assert method("srrs").reads == {"zero_shot", "features", "match"}
    assert method("srrs(rescreen=accept_all,screen=transition(matched=(0.2,0)))").reads == {"zero_shot", "features"}
    assert method("coop").reads == {"logits"}
    assert method("srrs-paper").reads == {"logits", "match"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("coop2", r"no method 'coop2'; did you mean coop"),
        ("quux", r"no method 'quux'; choose one of zero-shot, coop, .*srrs-paper"),
        ("srrs(scren=bands)", r"nothing called 'scren'; there are .*screen"),
        ("srrs(screen=band)", r"no screen called 'band'; there are .*bands"),
        ("srrs(screen=bands(thta=1))", r"the screen bands cannot be made: .*thta"),
        ("srrs(screen=keep)", r"no screen called 'keep'"),
        (
            "srrs(tuners=3)",
            "expected tuners as macro, micro, probe, residual, both, a kind of tuner, ",
        ),
        ("srrs(screen=nowhere.at:all)", r"Expected 'nowhere.at:all' as package.module:function"),
        ("srrs(rounds=__import__('os'))", r"expected a plain value for rounds"),
        ("srrs(bands)", r"Expected arguments as name=value"),
        ("srrs(screen=", r"Expected a method as name"),
        ("srrs(=)", r"cannot be read"),
        ("srrs()()", r"cannot be read"),
        ("nowhere.at.all:mine", r"package.module:function on Python's path, but No module named 'nowhere'"),
        ("srrs.methods.zoo:mine", r"has no attribute 'mine'"),
        ("srrs.methods.zoo:METHODS", r"Expected a function at 'srrs.methods.zoo:METHODS'"),
        ("pathlib:Path", r"Expected a Method from 'pathlib:Path', but found"),
    ],
)
def test_what_there_is_not_is_answered_with_what_there_is(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        method(text)


OUTSIDE = """
from srrs.methods.screen import trust_all
from srrs.methods.zoo import gce
def trusting(rate: float = 0.5):
    return trust_all()
def mine(sharpness: float, share: float = 0.5):
    return gce()
"""


def test_a_method_from_outside_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outside_method.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    assert needs("outside_method:mine") == ("sharpness",)
    with pytest.raises(SettingsError, match="must be told the sharpness: sharpness=…"):
        method("outside_method:mine")
    assert method("outside_method:mine(sharpness=2)").name == "outside_method:mine(sharpness=2)"
    assert method("outside_method:mine", {"sharpness": 2}).tuners == (MACRO,)
    assert method("coop(screen=outside_method:trusting(rate=0.1))").name.endswith("trusting(rate=0.1))")
    sys.modules.pop("outside_method")


def test_most_methods_need_to_know_nothing() -> None:
    assert needs("srrs") == needs("srrs-paper(rounds=3)") == ()


def test_commas_within_parentheses_do_not_end_a_method() -> None:
    text = "coop, srrs(screen=bands(theta=0.1, remember=2), rounds=3),gce,"
    assert split_list(text) == ["coop", "srrs(screen=bands(theta=0.1, remember=2), rounds=3)", "gce"]


def test_every_stage_is_found_by_its_kind() -> None:
    assert {"trust_all", "bands", "transition"} <= stages(Screen).keys()
    assert "keep" not in stages(Screen)


def test_the_package_offers_methods_by_name_and_what_they_are_made_of() -> None:
    from srrs import methods

    assert methods.method("coop").tuners == (methods.MACRO,)
    assert set(methods.__all__) == set(dir(methods))
    assert all(getattr(methods, name) is not None for name in methods.__all__)
    assert "srrs" in methods.METHODS
    with pytest.raises(AttributeError, match="no attribute 'coop'"):
        methods.coop  # noqa: B018
