"""What goes wrong on the user's side. Each message says what was expected, what was found, where, and what to do."""


class SrrsError(Exception):
    """Root of every error that a user can cause and mend; the command line prints its message and no traceback."""


class DataError(SrrsError):
    """Photographs, labels, tables or class names that cannot be used as given."""


class ModelError(SrrsError):
    """A model that is not there, cannot be loaded, or cannot do what is asked of it."""


class SettingsError(SrrsError):
    """A setting or an option with a value that makes no sense."""


class MissingExtraError(SrrsError):
    """An optional package is needed for what was asked."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(f"{purpose} needs the package {package}: pip install 'srrs[{extra}]'")


class NotFittedError(SrrsError, AttributeError):
    """Something was asked of a classifier that has not been fitted or loaded."""
