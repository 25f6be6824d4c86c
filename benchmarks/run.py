"""Speed and memory, each against the published way of doing the same work.

    python benchmarks/run.py step|round|run|embed|memory|scaling|million|gpu [--json FILE] [--markdown FILE] [--quick]

Prints a table of cases. `--quick` takes the bundled models and few repetitions: it shows that everything works, and is
no measurement. `--markdown docs/speed.md` puts the table in its place on that page.
"""

import argparse
import contextlib
import datetime
import json
import platform
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table as Shown

from srrs.errors import DataError
from srrs.io import write_atomic
from titles import LABELS, NOT_MEASURED, TITLES

if TYPE_CHECKING:
    from common import Table

MODULES = {name: name for name in ("step", "round", "run", "embed", "memory", "scaling", "million", "gpu")}
MODULES["run"] = "whole"  # the module of that name is this one


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", choices=MODULES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the cases and the machine there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="replace this benchmark's table in that page")
    parser.add_argument("--quick", action="store_true", help="the bundled models, few repetitions")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    arguments = parser.parse_args()
    if arguments.markdown:
        read_page(arguments.markdown, arguments.benchmark)  # refused now rather than after an hour
    prepare(arguments.threads)
    table: Table = import_module(MODULES[arguments.benchmark]).measure(arguments.quick)
    machine = describe_machine()
    command = f"python benchmarks/run.py {arguments.benchmark}" + " --quick" * arguments.quick
    show(arguments.benchmark, table, machine)
    if arguments.json:
        content = json.dumps({"machine": machine, **table}, indent=1, allow_nan=False) + "\n"
        write_atomic(arguments.json, content.encode())
    if arguments.markdown:
        section = markdown(table, f"`{command}`. {described(machine)}.")
        page = read_page(arguments.markdown, arguments.benchmark)
        write_atomic(arguments.markdown, put(page, arguments.benchmark, section).encode())


def prepare(threads: int) -> None:
    """Threads, and no progress bars between the tables."""
    import torch
    from transformers.utils import logging

    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def describe_machine() -> dict[str, object]:
    """What a figure must be read with."""
    import torch

    return {
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
    }


def _cpu() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    return platform.processor() or platform.machine()


def columns_of(table: "Table") -> list[str]:
    """Every column that a case has, in the order in which they appear."""
    return list(dict.fromkeys(column for row in table.values() for column in row))


def text_of(cell: object) -> str:
    """A cell for people: three digits of a number."""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if not isinstance(cell, float):
        return str(cell)
    return f"{cell:.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"


def described(machine: dict[str, object]) -> str:
    """The machine in words: every value with its name."""
    return "; ".join(f"{LABELS.get(name, name)}: {value}" for name, value in machine.items())


def grid_of(table: "Table") -> tuple[list[str], list[list[str]]]:
    """Header and lines: a line per case, or a line per column where the columns are more than the cases."""
    columns, cases = columns_of(table), list(table)
    titles = [TITLES.get(column, column) for column in columns]
    lines = [[case, *(text_of(table[case].get(column, "")) for column in columns)] for case in cases]
    if len(cases) > len(columns):
        return titles, lines
    return cases, [list(line) for line in zip(titles, *(line[1:] for line in lines), strict=True)]


def show(name: str, table: "Table", machine: dict[str, object]) -> None:
    """The table on the screen."""
    shown = Shown(title=f"{name} ({described(machine)})")
    head, body = grid_of(table)
    shown.add_column("")
    for name_of_column in head:
        shown.add_column(name_of_column, justify="right")
    for line in body:
        shown.add_row(*line)
    Console().print(shown, markup=False)


def markdown(table: "Table", caption: str) -> str:
    """The table for a page. Cases of which nothing was measured are named below it."""
    done = {case: row for case, row in table.items() if set(row.values()) - {NOT_MEASURED}}
    parts = [caption]
    if done:
        head, body = grid_of(done)
        lines = [["", *head], ["---", *["---:"] * len(head)], *body]
        parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
    if left := [case for case in table if case not in done]:
        parts.append(f"Not measured: {'; '.join(left)}.")
    return "\n\n".join(parts)


def read_page(path: Path, name: str) -> str:
    """The page that is to take the table.

    Raises
    ------
    DataError
        If it cannot be read or has no place for the table.
    """
    try:
        page = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"The page {str(path)!r} cannot be read: {error.strerror}.") from error
    if not _place(name).search(page):
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        raise DataError(f"Expected {begin} and {end} in {str(path)!r}: put both where the table is to stand.")
    return page


def put(page: str, name: str, section: str) -> str:
    """The page with what stands between its marks replaced."""
    return _place(name).sub(lambda found: f"{found[1]}\n{section}\n{found[2]}", page)


def _place(name: str) -> re.Pattern[str]:
    return re.compile(f"(<!-- begin {name} -->).*?(<!-- end {name} -->)", re.DOTALL)


if __name__ == "__main__":
    try:
        main()
    except DataError as error:
        sys.exit(str(error))
