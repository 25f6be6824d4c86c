"""Functions that read the file of `--config`, and write the settings of a run.

A file contains settings by topic or by flat name. Under `options`, it contains the other options of a command by name:

    options: {source: photos/, label: species}
    model: {name: bundled}
    schedule: {steps: 30}
"""

import inspect
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from srrs.config import Settings, flat_fields
from srrs.errors import DataError, SettingsError
from srrs.io import read_bytes

FILE = "settings.yaml"
"""Name of the file of settings in the folder of a run."""
NOT_WRITTEN = {"out", "as_json", "config", "pairs", "yes", "ray", "shard"}
"""Options that determine where or how a command writes, but not what it computes."""
OTHER_COMMANDS = {"test", "budget", "fail_above", "cleanvision", "trusted", "track", "max_minutes", "ray"}
"""Options that a file may contain for one command, and that other commands ignore."""
SOURCES = {"source", "test", "features", "class_vectors"}
"""Options that are a path or a URL."""


@dataclass(frozen=True)
class Chosen:
    """The settings of a run and the other options of its command."""

    settings: Settings
    """The settings, from the options, `--set`, `--config` and the defaults."""
    options: Mapping[str, Any]
    """The values of the other options, by name."""

    def write(self, folder: Path, command: str) -> Path:
        """Write `settings.yaml`, with which `srrs COMMAND --config` repeats the run, and return its path."""
        import yaml

        from srrs import __version__
        from srrs.io import write_atomic

        kept = {name: value for name, value in self.options.items() if name not in NOT_WRITTEN}
        settings = self.settings.by_topic()
        flat = {name for name in self.settings.flat()}
        options = {
            name.replace("_", "-"): _absolute(name, value)
            for name, value in kept.items()
            if name not in flat and value is not None and value is not False and value != []
        }
        head = (
            f"# Settings that srrs {__version__} used. To run it again: srrs {command} --config {FILE} --out FOLDER\n"
        )
        text = yaml.safe_dump({"command": command, "options": options, **settings}, sort_keys=False, allow_unicode=True)
        return write_atomic(folder / FILE, (head + text).encode())


def _absolute(name: str, value: Any) -> Any:
    """Return the absolute path for a path, so that it does not depend on the working directory; other values as is."""
    if isinstance(value, list):
        return [_absolute(name, part) for part in value]
    if isinstance(value, Path) or (name in SOURCES and os.path.exists(value)):
        return os.path.abspath(value)
    if name == "images":
        return ",".join(os.path.abspath(part) if os.path.exists(part) else part for part in value.split(","))
    return value


@dataclass(frozen=True)
class Config:
    """The content of a file of settings."""

    path: Path | None = None
    """The file; None without `--config`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The settings in the file, by flat name or by topic."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """The other options in the file, by name."""

    def options(
        self, command: str, known: Sequence[inspect.Parameter], on_command_line: Callable[[str], bool]
    ) -> dict[str, Any]:
        """Return the options of the command that are in the file, but not on the command line.

        Parameters
        ----------
        command : name of the command.
        known : the options of the command.
        on_command_line : function that returns whether an option is on the command line.

        Raises
        ------
        SettingsError
            The command does not have an option of the file, or the value of an option is not allowed.
        """
        from pydantic import TypeAdapter, ValidationError

        by_name = {option.name: option for option in known}
        found = {}
        for name, value in self.given.items():
            own = str(name).replace("-", "_")
            if own not in by_name or own in NOT_WRITTEN:
                if own in OTHER_COMMANDS:
                    continue
                near = get_close_matches(own, by_name, 1)
                hint = f"; did you mean {near[0].replace('_', '-')}?" if near else ""
                raise SettingsError(f"srrs {command} has no option {name!r}, which {self.path} names{hint}")
            try:
                found[own] = TypeAdapter(by_name[own].annotation).validate_python(value)
            except ValidationError as error:
                raise SettingsError(f"{self.path}: {name}: {error.errors()[0]['msg']}, but found {value!r}") from None
        return {name: value for name, value in found.items() if not on_command_line(name)}


def read_config(path: Path | None) -> Config:
    """Return the content of a YAML or JSON file of settings. Without a path, the result is empty.

    Raises
    ------
    DataError
        The file cannot be read, or does not contain a mapping.
    """
    if path is None:
        return Config()
    import yaml

    try:
        content = yaml.safe_load(read_bytes(path).decode())  # reads JSON, too, because JSON is valid YAML
    except OSError as error:
        raise DataError(f"Expected a file of settings at {path}, but it cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that does not exist is a ValueError
        raise DataError(f"Expected YAML or JSON in {path}, but found: {str(error).splitlines()[0]}.") from None
    if not isinstance(content, Mapping):
        raise DataError(f"Expected settings by name in {path}, but found {type(content).__name__}.")
    options = content.get("options") or {}
    if not isinstance(options, Mapping):
        raise DataError(f"Expected a mapping under options in {path}, but found {type(options).__name__}.")
    settings = {str(name): value for name, value in content.items() if name not in ("command", "options")}
    return Config(path, settings, options)


def read_pairs(pairs: list[str] | None) -> dict[str, Any]:
    """Return the settings in the `name=value` pairs of `--set`, by name.

    A value is read as JSON if this is possible, otherwise as text. Raises SettingsError for a pair without `=`.
    """
    found: dict[str, Any] = {}
    optional = {name for name, field in flat_fields().items() if type(None) in get_args(field.annotation)}
    for pair in pairs or []:
        name, equals, text = pair.partition("=")
        if not equals:
            raise SettingsError(f"expected --set name=value, but found {pair!r}")
        try:
            found[name] = None if text == "none" and name in optional else json.loads(text)
        except ValueError:
            found[name] = text
    return found
