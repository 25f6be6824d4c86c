"""Errors that a user can correct. Each message says what was expected, what was found, where, and what to do."""


class SrrsError(Exception):
    """Base class of all errors that a user can cause and correct. The command line prints only their message."""


class DataError(SrrsError):
    """Images, labels, tables or class names that cannot be used as given."""


class ModelError(SrrsError):
    """A model that is missing, cannot be loaded, or cannot do what was asked."""


class SettingsError(SrrsError):
    """A setting or an option with a value that is not allowed."""


class MissingExtraError(SrrsError):
    """An optional package is not installed. The message gives the command that installs it."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(f"{purpose} needs the package {package}: pip install 'srrs[{extra}]'")


class NotFittedError(SrrsError, AttributeError):
    """A classifier was used before it was fitted or loaded."""
