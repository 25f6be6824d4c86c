import json
from dataclasses import fields

import pytest

from srrs.config import Settings
from srrs.errors import SettingsError


def test_settings_go_through_json_and_back() -> None:
    settings = Settings(model="bundled", steps=7)
    assert Settings.of(json.loads(json.dumps(settings.to_dict()))) == settings


def test_changing_some_leaves_the_original() -> None:
    settings = Settings()
    assert settings.with_(steps=3).steps == 3
    assert settings == Settings()


@pytest.mark.parametrize(
    ("name", "answer"),
    [("step", "did you mean steps?"), ("learning-rate", "did you mean learning_rate?"), ("zzz", "there are model, ")],
)
def test_a_name_that_is_no_setting_is_answered_with_the_nearest(name: str, answer: str) -> None:
    with pytest.raises(SettingsError, match=f"there is no setting '{name}'; {answer}".replace("?", r"\?")):
        Settings.of({name: 1})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"views": -1}, "views must be at least 0, but is -1"),
        ({"batch": 0}, "batch must be at least 1, but is 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, but is 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, but is nan"),
        ({"context": "both"}, "context must be class or shared, but is 'both'"),
        ({"steps": "many"}, "steps must be a whole number, but is 'many'"),
        ({"steps": 1.5}, r"steps must be a whole number, but is 1\.5"),
        ({"steps": True}, "steps must be a whole number, but is True"),
        ({"seed": -1}, "seed must be at least 0, but is -1"),
        ({"learning_rate": "fast"}, "learning_rate must be a number, but is 'fast'"),
        ({"model": 3}, "model must be a text, but is 3"),
    ],
)
def test_values_that_make_no_sense_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings.of(values)


def test_the_digest_text_changes_with_every_setting() -> None:
    other = {"model": "a", "matcher": "none", "method": "coop", "device": "cpu", "precision": "fp32"}
    other |= {"context": "shared", "words": "x", "random_context": 16, "class_position": "front", "match_by": "itc"}
    for field in fields(Settings):
        value = other.get(field.name, getattr(Settings(), field.name))
        changed = Settings().with_(**{field.name: value if field.name in other else value * 2})
        assert changed.digest_text() != Settings().digest_text(), field.name
    assert Settings().digest_text() == Settings().digest_text()
