"""Prompt templates with a class name and, optionally, a description."""

from dataclasses import dataclass

from srrs.errors import SettingsError

CLASS, DESCRIPTION = "{class}", "{description}"


@dataclass(frozen=True)
class Template:
    """A prompt around a class name: `before` class `after`, or `before` class `clause` description `after`."""

    before: str
    after: str
    clause: str | None = None
    """The words between class name and description; None if the template has no description."""

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Read `a photo of a {class}.` or `a photo of a {class}, which has {description}.`. Articles do not change.

        Raises
        ------
        SettingsError
            The text does not contain {class} exactly once, or {description} more than once or before {class}.
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
        """Return the whole prompt."""
        return f"{self.before} {name}{self.tail(description)}".strip()


MACRO = Template.parse("a photo of a {class}.")
MICRO = Template.parse("a photo of a {class}, which has {description}.")
