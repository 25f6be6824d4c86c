"""The command line in this process, because starting one takes seconds."""

import sys

import pytest

from srrs.cli import main


def run_srrs(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Run `srrs` with these words and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["srrs", *map(str, words)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
