"""The command line as `python -m srrs`."""

from srrs.cli import main

main()
