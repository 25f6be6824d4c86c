"""The command line. Each command imports its modules when it runs, so that `srrs --help` is fast."""

import errno
import json
import os
import signal
import sys
from contextlib import suppress
from typing import Annotated

import typer

from srrs.cli import act, apply_model, grids, tune
from srrs.cli.bench import bench
from srrs.cli.export import export
from srrs.cli.signature import command
from srrs.errors import SrrsError
from srrs.io import cause, printable

__all__ = ["app", "main"]

app = typer.Typer(
    help="Tune CLIP on images whose labels are partly wrong, and find the wrong labels.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for function in (
    *(tune.demo, tune.audit, act.apply, act.undo, tune.fit, apply_model.predict, apply_model.embed, export),
    *(bench, grids.table, grids.differences, grids.plot, grids.compare),
):
    command(app)(function)

INTERRUPTED = 130
"""Exit status of an interrupted command, the same as typer's."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a write to stdout that is redirected to a full disk."""


def _version(wanted: bool) -> None:
    """Print the version and exit, if `--version` is given."""
    if wanted:
        from srrs import __version__

        typer.echo(f"srrs {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Tune CLIP on images whose labels are partly wrong, and find the wrong labels."""


def main() -> None:
    """Run the command line. For an error that the user can correct, print one sentence to stderr.

    The exit status is then 2. Status 1 means that the data failed a check, such as `srrs audit --fail-above`.
    """
    with suppress(ValueError):  # only the main thread may set a handler
        signal.signal(signal.SIGTERM, _terminated)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads do not use a core; torch reads this variable
    try:
        if status := app(standalone_mode=False):
            _interrupted() if status == INTERRUPTED else sys.exit(status)
    except SrrsError as error:
        _fail(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        _interrupted()
    except OSError as error:
        if error.errno not in FULL:
            raise
        _fail(f"Cannot write the output: {cause(error)}", 2)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a usage error of the option parser
            error.show()
            sys.exit(error.exit_code)
        raise


def _terminated(*_: object) -> None:
    """End the command as Ctrl-C does, so that worker processes end and finished work stays."""
    raise KeyboardInterrupt


def _interrupted() -> None:
    """Exit after an interruption, with a message on how to continue."""
    _fail("Interrupted. Run the same command again: it continues where it stopped.", INTERRUPTED)


def _fail(message: str, status: int) -> None:
    """Print a message to stderr and, with `--json`, as JSON to stdout, and exit."""
    if "--json" in sys.argv:
        with suppress(OSError):
            sys.stdout.write(json.dumps({"error": message}) + "\n")
    sys.stderr.write(f"srrs: {printable(message, chr(10))}\n")
    sys.exit(status)
