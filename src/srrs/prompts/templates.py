"""Prompt templates with a class name and, optionally, a description of the class."""

from dataclasses import dataclass

from srrs.errors import SettingsError

CLASS, DESCRIPTION = "{class}", "{description}"
"""Placeholders in the text of a template."""


@dataclass(frozen=True)
class Template:
    """A prompt that consists of `before`, the class name, and `after`.

    With a description of the class, the clause and the description come after the class name.
    """

    before: str
    """Text before the class name."""
    after: str
    """Text at the end of the prompt."""
    clause: str | None = None
    """Text between class name and description; None if the template has no description."""

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Return the template in a text.

        Examples of texts are `a photo of a {class}.` and `a photo of a {class}, which has {description}.`. Articles are
        not adapted to the class name.

        Raises
        ------
        SettingsError
            The text does not contain {class} exactly once, contains {description} more than once or before {class}, or
            contains other braces.
        """
        before, _, rest = text.partition(CLASS)
        clause, described, after = rest.partition(DESCRIPTION)
        if CLASS not in text or any("{" in part or "}" in part for part in (before, clause, after)):
            raise SettingsError(
                "Expected a template with {class} once and, behind it, {description} at most once, "
                f"such as 'a photo of a {{class}}.', but found {text!r}."
            )
        return cls(before.strip(), after, clause) if described else cls(before.strip(), rest)

    def tail(self, description: str | None = None) -> str:
        """Return the text after the class name. Without a description, the clause is left out."""
        if self.clause is None or not description:
            return self.after
        return f"{self.clause}{description}{self.after}"

    def text(self, name: str, description: str | None = None) -> str:
        """Return the whole prompt for a class name and, optionally, its description."""
        return f"{self.before} {name}{self.tail(description)}".strip()


MACRO = Template.parse("a photo of a {class}.")
"""The plain prompt."""
MICRO = Template.parse("a photo of a {class}, which has {description}.")
"""The described prompt."""
