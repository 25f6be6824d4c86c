"""The command line. Imports stay inside the commands, so that `srrs --help` answers at once."""

import json
import sys

import typer

from srrs.cli import act, grids, tune
from srrs.cli.export import export
from srrs.cli.options import read_settings
from srrs.errors import SrrsError

__all__ = ["app", "main", "read_settings"]

app = typer.Typer(
    help="Tune CLIP on images whose labels are partly wrong, and learn which labels are wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    *(tune.demo, tune.audit, act.apply, act.undo, tune.fit, tune.predict, tune.embed, export),
    *(grids.bench, grids.table, grids.plot, grids.compare),
):
    app.command()(command)

INTERRUPTED = 130
"""Exit status of a command that was interrupted; also what typer makes of an interruption."""


def main() -> None:
    """Run the command line: what a user can mend is one sentence on stderr and exit status 2.

    Status 1 says that data were found wanting, as `srrs audit --fail-above` asks.
    """
    try:
        if status := app(standalone_mode=False):
            _interrupted() if status == INTERRUPTED else sys.exit(status)
    except SrrsError as error:
        _fail(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        _interrupted()
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a usage error of the option parser
            error.show()
            sys.exit(error.exit_code)
        raise


def _interrupted() -> None:
    _fail("Interrupted. Run the same command again: it goes on where it stopped.", INTERRUPTED)


def _fail(message: str, status: int) -> None:
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps({"error": message}) + "\n")
    sys.stderr.write(f"srrs: {message}\n")
    sys.exit(status)
