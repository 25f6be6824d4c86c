"""Kill commands at random moments, run them again, and compare the results with those of an undisturbed run.

    PYTHONPATH=src:tests python recipes/soak.py --seed 0 --count 100

A try prepares a folder, starts a command, kills it (SIGKILL) after a random share of its undisturbed duration, looks
whether every original is still there, and repeats the command until it ends. It has failed where the repeated command
fails (other than by saying that the work is done already), an original is lost, a file is left over or missing, or a
file has other bytes than after the undisturbed run. The moments follow from the seed.

The model is a tiny one of `tests/support.py`. Commands run in forks of this process, which has loaded all libraries.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

import numpy as np
from PIL import Image

from srrs.cli import main as command_line
from support import tiny_clip

CLASSES = ("cat", "dog", "horse")
EACH = 15
MODEL = ("--model", "../model")
FAST = ("--set", "steps=30", "--set", "batch=12", "--views", "1")
Tree = dict[str, str]
"""Digest of each file by its path."""


@dataclass(frozen=True)
class Command:
    """A command line, and what has to be there before it."""

    words: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()


AUDIT = ("audit", "images", "--out", "audit", *MODEL)
APPLY = ("apply", "audit", "--decisions", "decisions.csv", "--yes")
IN_PLACE = (*APPLY, "--in-place")
COMMANDS = {
    "embed": Command(("embed", "images", "--out", "features", "--views", "2", *MODEL)),
    "audit": Command(AUDIT),
    "audit that tunes": Command((*AUDIT, "--method", "srrs-paper", *FAST)),
    "fit": Command(("fit", "images", "--out", "fitted", *MODEL, *FAST)),
    "apply (copy)": Command((*APPLY, "--to", "copy"), (AUDIT,)),
    "apply (in place)": Command(IN_PLACE, (AUDIT,)),
    "undo": Command(("undo", "audit/undo.json"), (AUDIT, IN_PLACE)),
    "bench (two jobs)": Command(
        ("bench", "--dataset", "folder:images", "--out", "runs", "--jobs", "2", "--methods", "coop,linear-probe",
         "--noise", "sym:0.3", "--shots", "8", "--seeds", "1,2", *MODEL, *FAST),
    ),
}  # fmt: skip


def main() -> None:
    """Run the tries and print a table of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100, help="kills of all commands together")
    parser.add_argument("--commands", default=",".join(COMMANDS))
    asked = parser.parse_args()
    names = asked.commands.split(",")
    counts = {name: Counter[str]() for name in names}
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepare(Path())
        warm_up()
        wanted = {name: undisturbed(name) for name in names}
        for number in range(asked.count):
            name = names[number % len(names)]
            share = random.Random(f"{asked.seed} {name} {number}").uniform(0, 1.05)
            outcome, problem = attempt(name, share, *wanted[name])
            counts[name][outcome] += 1
            print(f"{number + 1} of {asked.count}: {name} at {share:.3f}: {outcome}", file=sys.stderr, flush=True)
            if problem:
                print(f"{name}, killed at {share:.3f} (seed {asked.seed}, try {number}): {problem}", file=sys.stderr)
    print("| command | duration | tries | killed | ended before | failed |\n|---|---:|---:|---:|---:|---:|")
    for name, found in counts.items():
        print(
            f"| {name} | {wanted[name][1]:.2f} s | {found.total()} | {found['killed']} | {found['ended']} | "
            f"{found['failed']} |"
        )
    print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)
    sys.exit(any(found["failed"] for found in counts.values()))


def prepare(folder: Path) -> None:
    """Make the model and the images, of which each class has some under another label, and the decisions on them."""
    tiny_clip(folder / "model")
    rng = np.random.default_rng(0)
    lines = ["id,label,action"]
    for kind, name in enumerate(CLASSES):
        for at in range(EACH):
            given = CLASSES[(kind + (at % 5 == 0)) % len(CLASSES)]
            path = folder / "template" / "images" / given / f"{name}-{at:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 90, (40, 40, 3)) + 160 * np.eye(3, dtype=int)[kind]
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            id = path.relative_to(folder / "template" / "images").as_posix()
            lines.append(f"{id},{name},{'drop' if at % 7 == 3 else 'relabel' if given != name else 'keep'}")
    (folder / "template" / "decisions.csv").write_text("\n".join(lines) + "\n")


def warm_up() -> None:
    """Run commands in this process, so that its forks find all libraries loaded."""
    begin("audit")
    for words in (AUDIT, (*APPLY, "--to", "copy"), COMMANDS["fit"].words):
        run(words)


def undisturbed(name: str) -> tuple[Tree, float]:
    """Return the files after the command, and its duration. Two runs must give the same files."""
    trees = []
    for _ in range(2):
        begin(name)
        start = time.monotonic()
        wait(launch(COMMANDS[name].words), "undisturbed")
        duration = time.monotonic() - start
        trees.append(files())
    if differ := difference(*trees):
        raise SystemExit(f"{name}: two undisturbed runs differ in {differ}")
    return trees[0], duration


def attempt(name: str, share: float, wanted: Tree, duration: float) -> tuple[str, str]:
    """Return the outcome of a try, and the problem where it has failed."""
    begin(name)
    before = originals()
    process = launch(COMMANDS[name].words)
    time.sleep(share * duration)
    killed = os.waitpid(process, os.WNOHANG)[0] == 0
    if killed:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    if lost := before - originals():
        return "failed", f"{len(lost)} originals are lost"
    try:
        wait(launch(COMMANDS[name].words), "the repeated command")
    except RuntimeError as error:
        if "that is done already" not in str(error):
            return "failed", str(error)
    if differ := difference(wanted, files()):
        return "failed", f"other files than undisturbed: {differ}"
    return ("killed" if killed else "ended"), ""


def begin(name: str) -> None:
    """Make the folder of a try anew, always in the same place: results hold paths."""
    os.chdir(Path.cwd().parent if Path.cwd().name == "try" else Path.cwd())
    for old in ("try", "cache"):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree("template", "try")
    os.environ["SRRS_CACHE"] = str(Path("cache").absolute())
    os.chdir("try")
    for words in COMMANDS[name].before:
        wait(launch(words), "what comes before")
        for undo in Path("audit").glob("undo-*.json"):
            undo.rename("audit/undo.json")
    shutil.rmtree("../cache", ignore_errors=True)


def launch(words: tuple[str, ...]) -> int:
    """Start a command in a fork, and return its process."""
    if process := os.fork():
        return process
    status = 1
    try:
        status = run(words)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def run(words: tuple[str, ...]) -> int:
    """Run a command in this process, with what it says in a file, and return its status."""
    with Path("../log").open("w") as log, redirect_stdout(log), redirect_stderr(log):
        sys.argv = ["srrs", *words]
        try:
            command_line()
        except SystemExit as error:
            return int(error.code or 0)
    return 0


def wait(process: int, what: str) -> None:
    """Raise RuntimeError where the process fails."""
    if status := os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
        said = Path("../log").read_text(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"{what} ended with status {status}: {' '.join(said)}")


def originals() -> set[str]:
    """Digests of all images in the folder of the try."""
    return {digest(path) for path in Path().rglob("*.png")}


def files() -> Tree:
    """All files of the try and of its cache, with what is measured in seconds left out."""
    found = {str(path): digest(path) for path in sorted(Path().rglob("*")) if path.is_file()}
    found |= {f"cache/{path.name}": "" for path in Path("../cache").rglob("*") if path.suffix in (".part", ".tmp")}
    return found


def digest(path: Path) -> str:
    """The digest of a file's content."""
    content = path.read_bytes()
    if path.name == "result.json":
        content = json.dumps({**json.loads(content), "seconds": 0}).encode()
    return hashlib.sha256(content).hexdigest()


def difference(one: Tree, other: Tree) -> str:
    """The first files that are not the same; empty where all are."""
    differ = [path for path in sorted({*one, *other}) if one.get(path) != other.get(path)]
    return ", ".join(differ[:5])


if __name__ == "__main__":
    main()
