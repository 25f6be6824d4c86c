"""The audit of the dependencies fails on findings, and says where nothing could be checked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "audit_dependencies.py"
KNOWN = {"name": "pillow", "version": "9.0.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["9.0.1"]}]}
FINE = {"name": "numpy", "version": "2.4.6", "vulns": []}
UNKNOWN = {"name": "torch", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        ([KNOWN, FINE, UNKNOWN], 1, "pillow 9.0.0: PYSEC-1, fixed in 9.0.1\n2 of 3 pinned packages checked: 1 vuln"),
        ([FINE, UNKNOWN], 0, "1 of 2 pinned packages checked: 0 vulnerabilities."),
        ([UNKNOWN], 0, "Nothing was checked: the service knows none of the 1 pinned packages."),
        (None, 0, "Nothing was checked: pip-audit got no answer from its service (ConnectionError: no route)."),
    ],
)
def test_only_findings_fail(tmp_path: Path, packages: list[dict] | None, status: int, said: str) -> None:
    program = tmp_path / "pip-audit"
    answer = "echo 'ConnectionError: no route' >&2; exit 1"
    if packages is not None:
        answer = f"echo '{json.dumps({'dependencies': packages})}'"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    done = subprocess.run([sys.executable, SCRIPT, program, "constraints.txt"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.startswith(said)) == (status, True), done.stdout
