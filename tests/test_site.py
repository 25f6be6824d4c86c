"""The site can be built: its navigation names every page, and the reference names what exists."""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
REFERENCE = [
    (page, name)
    for page in PAGES
    for name in re.findall(r"^::: (\S+)", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)
]


def entries(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from entries(part)


def test_the_navigation_names_every_page_and_nothing_else() -> None:
    named = sorted(entries(SITE["nav"]))
    assert named == PAGES, f"mend nav in mkdocs.yml: missing or unknown {sorted(set(named) ^ set(PAGES))}"


@pytest.mark.parametrize(("page", "name"), REFERENCE)
def test_the_reference_names_what_exists_and_has_a_docstring(page: str, name: str) -> None:
    try:
        thing: Any = import_module(name)
    except ModuleNotFoundError:
        home, _, last = name.rpartition(".")
        thing = getattr(import_module(home), last)
    assert thing.__doc__, f"{name} of {page} says nothing"


@pytest.mark.parametrize(("page", "name"), REFERENCE)
def test_every_documented_parameter_is_in_the_signature(page: str, name: str) -> None:
    try:
        things: list[Any] = list(vars(import_module(name)).values())
    except ModuleNotFoundError:
        home, _, last = name.rpartition(".")
        things = [getattr(import_module(home), last)]
        things += vars(things[0]).values() if inspect.isclass(things[0]) else []
    for thing in things:
        if callable(thing) and str(getattr(thing, "__module__", "")).startswith("srrs"):
            section = inspect.cleandoc(thing.__doc__ or "").partition("Parameters\n----------\n")[2]
            lines = re.findall(r"^(\w+(?:, \w+)*) : ", section.partition("\n---")[0], re.MULTILINE)
            documented = {parameter for line in lines for parameter in line.split(", ")}
            unknown = documented and documented - set(inspect.signature(thing).parameters)
            assert not unknown, f"{page}: {thing.__qualname__} has no parameter {', '.join(sorted(unknown))}"


def test_the_site_fetches_nothing_from_elsewhere() -> None:
    named = [next(iter(plugin)) if isinstance(plugin, dict) else plugin for plugin in SITE["plugins"]]
    assert SITE["theme"]["font"] is False
    assert not {"offline", "social"} & set(named)  # `offline` loads a script from a CDN
