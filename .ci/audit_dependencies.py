"""Look up known vulnerabilities of the pinned dependencies: audit_dependencies.py PIP_AUDIT CONSTRAINTS.

The exit status is 1 only if vulnerabilities are found. Where the service cannot be reached or does not know the
packages, a line says that nothing was checked.
"""

import json
import subprocess
import sys


def main(program: str, constraints: str) -> int:
    """Run pip-audit and print its findings; return the exit status."""
    command = [program, "--requirement", constraints, "--no-deps", "--disable-pip", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip() or "no output").splitlines()[-1]
        return say(f"Nothing was checked: pip-audit got no answer from its service ({reason}).", 0)
    checked = [package for package in packages if "vulns" in package]
    found = [(package, each) for package in checked for each in package["vulns"]]
    for package, each in found:
        fixed = ", ".join(each["fix_versions"]) or "no version yet"
        say(f"{package['name']} {package['version']}: {each['id']}, fixed in {fixed}", 1)
    if not checked:
        return say(f"Nothing was checked: the service knows none of the {len(packages)} pinned packages.", 0)
    return say(f"{len(checked)} of {len(packages)} pinned packages checked: {len(found)} vulnerabilities.", bool(found))


def say(text: str, status: int) -> int:
    """Print a line and return the status."""
    sys.stdout.write(text + "\n")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
