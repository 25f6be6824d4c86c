import pytest

from srrs.errors import SettingsError
from srrs.prompts.templates import MACRO, MICRO, Template


def test_a_template_is_written_out_as_it_stands() -> None:
    assert MACRO.text("elephant") == "a photo of a elephant."
    assert MICRO.text("cat", "whiskers") == "a photo of a cat, which has whiskers."
    assert Template.parse("itap of an {class}").text("owl") == "itap of an owl"
    assert Template.parse("{class}").text("owl") == "owl"


def test_without_a_description_the_clause_is_left_out() -> None:
    assert MICRO.text("cat") == "a photo of a cat."
    assert MICRO.text("cat", "") == "a photo of a cat."
    assert MACRO.tail("whiskers") == "."


@pytest.mark.parametrize(
    "text",
    ["a photo", "a {class} and a {class}", "{description} of {class}", "{class} {description} {description}", "{x}"],
)
def test_a_template_without_its_places_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"Expected a template with \{class\} once"):
        Template.parse(text)
