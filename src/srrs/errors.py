"""Errors that a user can correct. Each message contains what was expected, what was found, where, and what to do."""


class SrrsError(Exception):
    """Base class of all errors that a user can cause and correct. The command line prints only their message."""


class DataError(SrrsError):
    """Images, labels, tables or class names cannot be used as given. Also raised if a file cannot be written."""


class ModelError(SrrsError):
    """A model is missing, cannot be loaded, or cannot do what was asked."""


class SettingsError(SrrsError):
    """A setting or an option has a value that is not allowed, or settings contradict each other."""


class MissingExtraError(SrrsError):
    """An optional package is not installed. The message contains the command that installs it."""

    def __init__(self, package: str, extra: str, purpose: str):
        """Compose the message. `extra` is the extra of srrs that installs `package`; `purpose` is what needs it."""
        super().__init__(f"{purpose} needs the package {package}: pip install 'srrs[{extra}]'")


class NotFittedError(SrrsError, AttributeError):
    """A classifier was used before it was fitted or loaded."""
