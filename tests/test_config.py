import json
import pickle
import re
from pathlib import Path

import pytest

from srrs.config import DataSettings, ModelSettings, ScheduleSettings, Settings, flat_fields
from srrs.errors import SettingsError


def test_settings_go_through_json_and_back_flat_and_by_topic() -> None:
    settings = Settings.of(model="bundled", steps=7, views=3, trust="labels")
    assert Settings.of(json.loads(json.dumps(settings.flat()))) == settings
    assert Settings.of(json.loads(json.dumps(settings.by_topic()))) == settings
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_flat_names_and_topics_name_the_same_settings() -> None:
    flat = Settings.of(model="bundled", device="cpu", batch=3)
    topics = Settings.of({"model": {"name": "bundled", "device": "cpu"}, "schedule": {"batch": 3}})
    assert (
        flat
        == topics
        == Settings(model=ModelSettings(name="bundled", device="cpu"), schedule=ScheduleSettings(batch=3))
    )
    assert Settings.of({"model": {"name": "bundled"}}, device="cpu", batch=3) == flat


def test_changing_some_leaves_the_original() -> None:
    settings = Settings()
    assert settings.with_(steps=3).schedule.steps == 3
    assert settings == Settings()


def test_every_setting_says_what_it_is_and_has_a_name_of_its_own() -> None:
    assert len(flat_fields()) == len(Settings().flat()) == 19
    assert all(field.description for field in flat_fields().values())


def test_views_are_as_set_or_the_default_of_the_command() -> None:
    assert Settings().views(5) == 5
    assert Settings.of(views=0).views(5) == 0


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("step", "did you mean steps?"),
        ("learning-rate", "did you mean learning_rate?"),
        ("modle", "did you mean model?"),
        ("zzz", "there are model, "),
    ],
)
def test_a_name_that_is_no_setting_is_answered_with_the_nearest(name: str, answer: str) -> None:
    with pytest.raises(SettingsError, match=f"there is no setting '{name}'; {answer}".replace("?", r"\?")):
        Settings.of({name: 1})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"views": -1}, "^views must be at least 0, but is -1"),
        ({"batch": 0}, "^batch must be at least 1, but is 0"),
        ({"learning_rate": 0.0}, "^learning_rate must be above 0, but is 0"),
        ({"learning_rate": float("nan")}, "^learning_rate must be .*, but is nan"),
        ({"learning_rate": float("inf")}, "^learning_rate must be a finite number, but is inf"),
        ({"context": "both"}, "^context must be class or shared, but is 'both'"),
        ({"live": 1}, "^live must be true or false, but is 1"),
        ({"trust": "me"}, "^trust must be auto, labels or model, but is 'me'"),
        ({"steps": "many"}, "^steps must be a whole number, but is 'many'"),
        ({"steps": 1.5}, r"^steps must be a whole number, but is 1\.5"),
        ({"steps": True}, "^steps must be a whole number, but is True"),
        ({"seed": -1}, "^seed must be at least 0, but is -1"),
        ({"learning_rate": "fast"}, "^learning_rate must be a number, but is 'fast'"),
        ({"model": 3}, "^model must be a text, but is 3"),
        ({"schedule": 3}, "^schedule must be a mapping of settings, but is 3"),
        ({"schedule": {"views": 3}}, "^the setting views does not belong to the topic schedule"),
        ({"data": {"viewz": 3}}, r"^there is no setting 'viewz'; did you mean views\?"),
    ],
)
def test_values_that_make_no_sense_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings.of(values)


def test_a_topic_made_by_hand_is_validated_and_cannot_be_changed() -> None:
    with pytest.raises(SettingsError, match="steps must be at least 0"):
        ScheduleSettings(steps=-1)
    with pytest.raises(SettingsError, match="there is no view"):
        DataSettings(view=1)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="frozen"):
        Settings().seed = 3  # type: ignore[misc]


def test_the_digest_text_changes_with_every_setting() -> None:
    other = {"model": "a", "matcher": "none", "method": "coop", "device": "cpu", "precision": "fp32", "trust": "model"}
    other |= {"context": "shared", "words": "x", "random_context": 16, "class_position": "front", "match_by": "itc"}
    other |= {"learning_rate": 0.1, "views": 1, "live": True}
    for name, value in Settings().flat().items():
        changed = Settings().with_(**{name: other[name] if name in other else value * 2})
        assert changed.digest_text() != Settings().digest_text(), name
    assert Settings().digest_text() == Settings().digest_text()


def test_the_page_of_settings_has_each_with_its_default_and_meaning() -> None:
    page = (Path(__file__).parents[1] / "docs" / "api" / "settings.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+|) \| `(.*?)` \| (.*) \|$", page, re.MULTILINE)
    topics = {own: topic for topic, inner in Settings().by_topic().items() if isinstance(inner, dict) for own in inner}
    expected = [
        (name, topics.get("name" if name == "model" else name, ""), str(field.default), field.description)
        for name, field in flat_fields().items()
    ]
    assert rows == expected
