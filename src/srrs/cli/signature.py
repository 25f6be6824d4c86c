"""Commands whose options come from dataclasses: a dataclass of options, or the settings of the run.

`command(app)` registers a function as a command. If a parameter is annotated with a dataclass, the command gets one
option for each field of the dataclass. If a parameter is annotated with `Annotated[Chosen, Takes("model", ...)]`, the
command gets one option for each named setting, and the options `--set` and `--config`. The name, type, limits, default
and help of a setting are defined only in `srrs.config`.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer

from srrs.cli.resolved import Chosen, read_config, read_pairs
from srrs.config import Settings, flat_fields

Function = TypeVar("Function", bound=Callable[..., None])


@dataclass(frozen=True)
class Takes:
    """An annotation of the parameter that receives the settings of the run.

    The arguments of `Takes("views", others=True, views=4)` are the names, `others`, and the defaults as keywords.
    """

    names: tuple[str, ...]
    """Names of the settings for which the command has its own options."""
    defaults: Mapping[str, Any]
    """Defaults of settings for this command, by name."""
    others: bool
    """Whether the command has the options `--set` and `--config`, which accept all settings."""

    def __init__(self, *names: str, others: bool = True, **defaults: Any):
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "defaults", defaults)
        object.__setattr__(self, "others", others)


def command(app: typer.Typer) -> Callable[[Function], Function]:
    """Return the decorator that registers a function as a command of the app."""

    def register(function: Function) -> Function:
        app.command(function.__name__, epilog=_epilog(function))(flattened(function))
        return function

    return register


def flattened(function: Callable[..., None]) -> Callable[..., None]:
    """Return a function that calls `function`, with one parameter for each option, as typer requires."""
    hints = get_type_hints(function, include_extras=True)
    own = inspect.signature(function).parameters.values()
    options = {parameter.name: list(_options(parameter, hints[parameter.name])) for parameter in own}
    flat = [option for group in options.values() for option in group]

    def run(context: typer.Context, **values: Any) -> None:
        config = read_config(values.pop("config", None))
        values |= config.options(function.__name__, flat, lambda name: _given(context, name))
        pairs = read_pairs(values.pop("pairs", None))
        taken = {}
        for name, group in options.items():
            held = {option.name: values[option.name] for option in group if option.name in values}
            taken[name] = _made(hints[name], held, config.settings, pairs, values)
        function(**taken)

    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    run.__signature__ = inspect.Signature([context, *flat])  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in (context, *flat)}
    run.__name__, run.__doc__ = function.__name__, function.__doc__
    return run


def _options(parameter: inspect.Parameter, annotation: Any) -> Iterator[inspect.Parameter]:
    """Yield the options for a parameter of a command."""
    if takes := _takes(annotation):
        yield from map(setting_option, takes.names, map(takes.defaults.get, takes.names))
        if takes.others:
            yield _option("pairs", SetOption)
            yield _option("config", ConfigOption)
    elif is_dataclass(annotation):
        hints = get_type_hints(annotation, include_extras=True)
        for field in fields(annotation):
            required = field.default is MISSING
            yield _option(field.name, hints[field.name], inspect.Parameter.empty if required else field.default)
    else:
        yield _option(parameter.name, annotation, parameter.default)


def _made(annotation: Any, held: dict[str, Any], configured: Mapping[str, Any], pairs: Mapping[str, Any],
          options: Mapping[str, Any]) -> Any:  # fmt: skip
    """Return the argument of a parameter, from the values of its options."""
    if takes := _takes(annotation):
        given = {name: value for name, value in held.items() if value is not None}
        return Chosen(Settings.of({**takes.defaults, **configured, **given, **pairs}), options)
    if isinstance(annotation, type) and is_dataclass(annotation):
        return annotation(**held)
    (value,) = held.values()
    return value


def setting_option(name: str, default: Any = None) -> inspect.Parameter:
    """Return the option of a setting. `default` is the default that the help shows, if it is not the usual one.

    The default of the option itself is None, so that a file of settings can contain the value.
    """
    field = flat_fields()[name]
    shown = _shown(field.default if default is None else default)
    help_text = f"{field.description}  [default: {shown}]"
    info = typer.Option(f"--{name.replace('_', '-')}", help=help_text, show_default=False)
    return _option(name, Annotated[_optional(field.annotation), info])


def _optional(annotation: Any) -> Any:
    """Return the annotation with None allowed."""
    return annotation if type(None) in get_args(annotation) else annotation | None


def _option(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    """Return the keyword parameter of an option."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _takes(annotation: Any) -> Takes | None:
    """Return the `Takes` of an annotation; None if it has none."""
    extras = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((extra for extra in extras if isinstance(extra, Takes)), None)


def _given(context: typer.Context, name: str) -> bool:
    """Return whether an option was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _epilog(function: Callable[..., None]) -> str | None:
    """Return the end of the help: the settings for `--set`, with their defaults; None if the command has no `--set`."""
    takes = next(filter(None, map(_takes, get_type_hints(function, include_extras=True).values())), None)
    if takes is None or not takes.others:
        return None
    lines = ["\b", "Settings for --set name=value, with their defaults:"]
    for name, field in flat_fields().items():
        if name not in takes.names:
            lines += [f"  {name}={_shown(takes.defaults.get(name, field.default))}"]
            lines += textwrap.wrap(field.description or "", 74, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join([*lines, f"  and {', '.join(takes.names)}, as the options above"])


def _shown(value: Any) -> str:
    """Return a value as it is written after `--set name=`."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting, as name=value; repeatable. Listed at the end.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="YAML or JSON of settings, such as the settings.yaml that a run writes."),
]
