"""Methods as text, with parts replaced: `srrs-paper(rescreen=accept_all)`, `srrs(screen=bands(theta=0.05))`.

The text consists of names, calls and plain values. A call can only name a stage of the modules in `STAGES`, a tuner, or
a function outside of srrs as `package.module:name`. No other code of the text is run.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from types import ModuleType
from typing import Any

from srrs.core import losses
from srrs.errors import SettingsError
from srrs.methods import (
    detector,
    joapr,
    joint,
    learn,
    rectify,
    rescreen,
    screen,
    screen_features,
    subset,
    transport,
)
from srrs.methods.stages import (
    MACRO,
    MICRO,
    PROBE,
    RESIDUAL,
    Loss,
    Method,
    Prepare,
    Rectify,
    Rescreen,
    Screen,
    TunerSpec,
)
from srrs.methods.zoo import METHODS

STAGES: tuple[ModuleType, ...] = (
    screen, screen_features, rectify, rescreen, learn, joapr, transport, joint, detector, subset,
)  # fmt: skip
"""The text can name the public functions of these modules that return a stage."""
PARTS: dict[str, Any] = {
    "screen": Screen,
    "rectify": Rectify,
    "rescreen": Rescreen,
    "prepare": Prepare,
    "loss": Loss,
    "warm_up_loss": Loss,
}
"""Fields of `Method` that hold a stage, with the type of the stage."""
NAMED: dict[str, dict[str, Any]] = {"divergence": {"jeffreys": losses.jeffreys, "js": losses.jensen_shannon}}
"""Arguments whose values the text gives by name, with the value of each name."""
TUNERS: dict[str, tuple[TunerSpec, ...]] = {
    "macro": (MACRO,),
    "micro": (MICRO,),
    "probe": (PROBE,),
    "residual": (RESIDUAL,),
    "both": (MACRO, MICRO),
}
"""Tuners by name; any other name is a kind of tuner in `srrs.tuners`."""
KNOWLEDGE = {"noise_rate": "noise rate"}
"""Facts about the data that a method may require: the argument of the method's function, and the name of the fact."""

_FIELDS = {f.name for f in fields(Method)} - {"name"}


def method(text: str | Method, knowledge: Mapping[str, Any] | None = None) -> Method:
    """Return the method that a text names, with parts replaced. A `Method` is returned as it is.

    Parameters
    ----------
    text : `name`, or `name(argument=value, ...)`. The name is one of `METHODS`, or `package.module:function` for your
        own function that returns a `Method`. An argument is an argument of that function, or a field of `Method`. The
        value of a field is a stage (its name, or a call), a number, or, for `tuners`, a name, `package.module:Class`, a
        call such as `task_residual(learning_rate=0.1)`, or a list of these.
    knowledge : known facts about the data, such as `{"noise_rate": 0.5}`, for methods that have such an argument.

    Raises
    ------
    SettingsError
        A name or an argument does not exist, or a required argument is missing. The message lists the possible names.
    """
    if isinstance(text, Method):
        return text
    factory, arguments = _read(text)
    own = {name: value for name, value in arguments.items() if name in inspect.signature(factory).parameters}
    for name in _asked(factory) - own.keys():
        if name not in (knowledge or {}):
            raise SettingsError(f"The method {text!r} must be told the {KNOWLEDGE.get(name, name)}: {name}=…")
        own[name] = (knowledge or {})[name]
    told = {name: value for name, value in (knowledge or {}).items() if name in inspect.signature(factory).parameters}
    try:
        made = factory(**{**told, **own})
    except (TypeError, ValueError) as error:
        raise SettingsError(f"The method {text!r} cannot be made: {error}") from None
    if not isinstance(made, Method):
        raise SettingsError(f"Expected a Method from {text!r}, but found {type(made).__name__}.")
    changed = {name: value for name, value in arguments.items() if name not in own}
    made = replace(made, name=canonical(text), **changed)
    names = [tuner.name for tuner in made.tuners]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SettingsError(
            f"In {text!r}, several tuners are called {min(twice)!r}: give each a name of its own, as in "
            f"{min(twice)}(name='other')."
        )
    return made


def needs(text: str | Method) -> tuple[str, ...]:
    """Return the facts about the data that the method requires, such as `("noise rate",)`.

    Most methods require none.
    """
    if isinstance(text, Method):
        return ()
    factory, arguments = _read(text)
    return tuple(sorted(KNOWLEDGE.get(name, name) for name in _asked(factory) - arguments.keys()))


def split_list(text: str) -> list[str]:
    """Return the methods of a list, split at its commas. Commas within parentheses and brackets belong to a method."""
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def stages(kind: Any) -> dict[str, Callable[..., Any]]:
    """Return every stage of a kind (`Screen`, `Rectify`, `Rescreen`, `Prepare` or `Loss`) by name."""
    return dict(_returning(kind))


def _returning(kind: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public functions of the modules in `STAGES` that return a stage of this kind, with their names."""
    for module in STAGES:
        for name, function in vars(module).items():
            public = inspect.isfunction(function) and not name.startswith("_")
            if public and function.__module__ == module.__name__ and function.__annotations__.get("return") == kind:
                yield name, function


def canonical(text: str) -> str:
    """Return the text without spaces around punctuation, so that a method has one spelling in records and tables."""
    return re.sub(r"\s*([(),=\[\]])\s*", r"\1", text.strip())


def _read(text: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the function that makes the method, and the arguments that the text gives."""
    found = re.fullmatch(r"([\w.:-]+)\s*(\(.*\))?", text.strip(), re.DOTALL)
    if not found:
        raise SettingsError(f"Expected a method as name or name(argument=value, ...), but found {text!r}.")
    factory = _factory(found[1])
    try:
        call = ast.parse(f"f{_quoted(found[2] or '()')}", mode="eval").body
    except SyntaxError:
        raise SettingsError(f"Expected name(argument=value, ...), but {text!r} cannot be read.") from None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise SettingsError(f"Expected name(argument=value, ...), but {text!r} cannot be read.")
    known = _FIELDS | inspect.signature(factory).parameters.keys()
    for name in {keyword.arg for keyword in call.keywords if keyword.arg} - known:
        raise SettingsError(f"In {text!r} there is nothing called {name!r}; there are {', '.join(sorted(known))}.")
    return factory, _arguments(call, text)


def _quoted(text: str) -> str:
    """Return the text with every `package.module:name` as a string, so that Python can parse it."""
    parts = re.split(r"(\"[^\"]*\"|'[^']*')", text)  # odd parts are quoted strings, which stay unchanged
    return "".join(
        part if number % 2 else re.sub(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", r"'\g<0>'", part)
        for number, part in enumerate(parts)
    )


def _factory(name: str) -> Callable[..., Any]:
    """Return the function that makes the method with this name."""
    if ":" in name:
        return _outside(name)
    if name not in METHODS:
        near = get_close_matches(name, METHODS, 1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(METHODS)}"
        raise SettingsError(f"there is no method {name!r}; {hint}")
    return METHODS[name]


def _outside(name: str) -> Callable[..., Any]:
    """Return the function that `package.module:name` names."""
    module, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"Expected {name!r} as package.module:function on Python's path, but {error}.") from None
    if not callable(factory):
        raise SettingsError(f"Expected a function at {name!r}, but found {factory!r}.")
    made: Callable[..., Any] = factory
    return made


def _arguments(call: ast.Call, text: str) -> dict[str, Any]:
    if call.args or any(keyword.arg is None for keyword in call.keywords):
        raise SettingsError(f"Expected arguments as name=value, but {text!r} has one without a name.")
    return {keyword.arg: _value(keyword.arg, keyword.value, text) for keyword in call.keywords if keyword.arg}


def _value(name: str, node: ast.expr, text: str) -> Any:
    if name in PARTS:
        return _stage(name, node, text)
    if name == "tuners":
        return _tuners(node, text)
    if name in NAMED:
        word = node.id if isinstance(node, ast.Name) else None
        if word not in NAMED[name]:
            raise SettingsError(f"In {text!r}, {name} must be one of {', '.join(NAMED[name])}.")
        return NAMED[name][word]
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise SettingsError(f"In {text!r}, expected a plain value for {name}, but found {ast.unparse(node)}.") from None


def _stage(name: str, node: ast.expr, text: str) -> Any:
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    wanted, there = ast.unparse(call.func), stages(PARTS[name])
    if isinstance(call.func, ast.Constant) and isinstance(call.func.value, str):
        there = {wanted: _outside(call.func.value)}
    if wanted not in there:
        raise SettingsError(f"In {text!r} there is no {name} called {wanted!r}; there are {', '.join(sorted(there))}.")
    try:
        return there[wanted](**_arguments(call, text))
    except TypeError as error:
        raise SettingsError(f"In {text!r}, the {name} {wanted} cannot be made: {error}.") from None


def _tuners(node: ast.expr, text: str) -> tuple[TunerSpec, ...]:
    """Return the tuners that a name, a string, a call or a list of these describes."""
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(tuner for each in node.elts for tuner in _tuners(each, text))
    called = node.func if isinstance(node, ast.Call) else node
    arguments = _arguments(node, text) if isinstance(node, ast.Call) else {}
    if isinstance(called, ast.Constant) and isinstance(called.value, str):
        name, kind = called.value.rpartition(":")[2], called.value
    elif isinstance(called, ast.Name):
        if called.id in TUNERS and not arguments:
            return TUNERS[called.id]
        name, kind = called.id, called.id.replace("_", "-")
        if called.id in TUNERS:
            kind = TUNERS[called.id][0].kind
    else:
        raise SettingsError(
            f"In {text!r}, expected tuners as {', '.join(TUNERS)}, a kind of tuner, package.module:Class, or a list of "
            f"them, but found {ast.unparse(node)}."
        )
    own = {key: arguments.pop(key) for key in ("name", "votes", "learning_rate") if key in arguments}
    return (TunerSpec(own.pop("name", name), kind, arguments, **own),)


def _asked(factory: Callable[..., Any]) -> set[str]:
    """Return the names of the arguments without a default: facts about the data, such as the noise rate."""
    parameters = inspect.signature(factory).parameters.values()
    return {p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
