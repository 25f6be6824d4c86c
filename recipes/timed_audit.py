"""How long a person waits: `srrs audit` of 4,128 photographs with a model of ViT-B/32 size, then each key on its page.

    PYTHONPATH=benchmarks:tests python recipes/timed_audit.py DATA WORK

DATA holds caltech101.zip. Photographs, model (random weights, as speed asks no more) and features live in WORK while it
runs; the audit stays there. Needs chromium on the PATH. `--limit 200` tries it on some of the photographs. The bar: on
two cores, the audit in under 10 minutes and every key in under 100 ms.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import zipfile
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from chromium import chromium
from models import dual_encoder
from run import describe_machine
from splits import caltech_split
from srrs.models.hub import BUNDLED, find_folder

KEYS = ("a", "ArrowRight", "k", "ArrowDown", "d", "1", "u", "x", "PageDown", "Backspace")
WATCH = """
    window.spent = []; // milliseconds from each key to the first picture of the console after it
    addEventListener("keydown", (event) => requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => spent.push(performance.now() - event.timeStamp);
        port2.postMessage(0);
    }), true);
    document.querySelector(".tile").focus();
"""


def write_photographs(data: Path, folder: Path, limit: int | None) -> int:
    """The training photographs of Caltech101, or some of every part of the split, in a folder per class."""
    train = caltech_split(data)["train"]
    chosen = train[:: max(1, len(train) // limit)][:limit] if limit else train
    with zipfile.ZipFile(data / "caltech101.zip") as archive:
        for path, _, name in chosen:
            target = folder / name / Path(path).name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(f"caltech101/101_ObjectCategories/{path}"))
    return len(chosen)


def save_model(folder: Path) -> None:
    """A CLIP as the hub has them: weights, and the bundled tokenizer and preprocessing at its size."""
    clip = dual_encoder("vitb32", kernels="torch")  # packed layers keep no weights to save
    clip.model.save_pretrained(folder)
    bundled = find_folder(BUNDLED, "clip")
    for path in bundled.glob("tokenizer*.json"):
        shutil.copyfile(path, folder / path.name)
    side = clip.model.config.vision_config.image_size
    preprocessing = json.loads((bundled / "preprocessor_config.json").read_text())
    preprocessing |= {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))


def seconds_of_audit(photographs: Path, model: Path, out: Path, minutes: float | None) -> float:
    """From the command to its end, with nothing encoded beforehand."""
    words = [sys.executable, "-m", "srrs", "audit", photographs, "--model", model, "--out", out]
    words += [] if minutes is None else ["--max-minutes", minutes]
    with TemporaryDirectory(dir=out.parent) as cache:
        started = time.perf_counter()
        subprocess.run(list(map(str, words)), env=os.environ | {"SRRS_CACHE": cache}, check=True)
        return time.perf_counter() - started


def milliseconds_of_keys(page: Path, count: int) -> list[tuple[str, float]]:
    """How long each of some keys takes, from the key to the first picture of the console after it."""
    keys = list(islice(cycle(KEYS), count))
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile, chromium(Path(profile)) as browser:
        tab = browser.open(page)
        tab.run(WATCH)
        for done, key in enumerate(keys, 1):
            tab.press(key)
            tab.wait(f"spent.length === {done}")
        return list(zip(keys, tab.run("spent"), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--limit", type=int, help="so many of the photographs")
    parser.add_argument("--max-minutes", dest="minutes", type=float, help="as of srrs audit")
    parser.add_argument("--keys", type=int, default=100)
    asked = parser.parse_args()
    out = asked.work / "audit"
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=asked.work) as folder:
        photographs, model = Path(folder) / "photographs", Path(folder) / "model"
        count = write_photographs(asked.data, photographs, asked.limit)
        save_model(model)
        seconds = seconds_of_audit(photographs, model, out, asked.minutes)
    spent = milliseconds_of_keys((out / "report.html").resolve(), asked.keys)
    slowest, longest = max(spent, key=lambda one: one[1])
    views = json.loads((out / "audit.json").read_text())["settings"]["views"]
    print(f"machine    {', '.join(map(str, describe_machine().values()))}; {os.cpu_count()} cores")
    print(f"audit      {seconds / 60:.1f} minutes for {count:,} photographs, with {views} augmented views of each")
    print(f"a key      {statistics.median(ms for _, ms in spent):.0f} ms (median of {len(spent)})")
    print(f"           {longest:.0f} ms ({slowest}, the slowest)")


if __name__ == "__main__":
    main()
