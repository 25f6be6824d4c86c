"""Kill a node of a Ray cluster in the middle of encoding, and compare the features with those of one process.

    python recipes/ray_nodes.py WORK [IMAGES]

Two nodes with one processor each run on this machine. The second is killed when half of the shards are on disk. The
recipe prints how many images were encoded, whether the features are equal to the bit, and the seconds of both runs.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from srrs.cluster import on_ray
from srrs.data.samples import checked, from_paths
from srrs.features.store import encode
from srrs.features.tasks import TOGETHER, Workers
from srrs.models.hub import load_model

BATCH = 64


class Counted:
    """The bundled image tower, which notes how many images each pass encodes."""

    def __init__(self, log: Path):
        self._tower, self._log = load_model("bundled", "cpu"), log

    def __getattr__(self, name):
        return getattr(self._tower, name)

    def encode_images(self, pixels):
        found = self._tower.encode_images(pixels)
        with self._log.open("a") as file:  # short lines that are appended stay whole
            file.write(f"{os.getpid()} {len(pixels)}\n")
        return found


@lru_cache(maxsize=1)
def counted(log: Path) -> Counted:
    return Counted(log)


def main(work: Path, images: int) -> None:
    paths = photos(work / "photos", images)
    from ray.cluster_utils import Cluster

    log = work / "encoded.log"
    log.unlink(missing_ok=True)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    shards = -(-images // (BATCH * TOGETHER))
    killer = threading.Thread(target=kill, args=(cluster, second, work / "ray", shards // 2), daemon=True)
    started = time.monotonic()
    with on_ray(cluster.address) as spread:
        samples = checked(from_paths(paths, labeled=False), spread=spread)
        read = time.monotonic() - started
        killer.start()
        elsewhere = Workers(spread, partial(counted, log))
        found = encode(samples, range(images), counted(log), cache=work / "ray", elsewhere=elsewhere)
    seconds = time.monotonic() - started
    cluster.shutdown()
    passes = [line.split() for line in log.read_text().splitlines()]
    encoded, workers = sum(int(count) for _, count in passes), len({pid for pid, _ in passes})
    started = time.monotonic()
    alone = encode(checked(from_paths(paths, labeled=False)), range(images), load_model("bundled", "cpu"))
    print(f"{images} images, {shards} shards of {BATCH * TOGETHER}; one of two nodes killed after {shards // 2} shards")
    print(f"encoded: {encoded} in {workers} processes, {encoded - images} of them a second time")
    print(f"complete and equal to one process: {np.array_equal(found.plain, alone.plain)}")
    print(f"seconds: two nodes {seconds:.0f} (reading {read:.0f}), one process {time.monotonic() - started:.0f}")


def kill(cluster, node, cache: Path, after: int) -> None:
    while len(list(cache.rglob("plain-*.safetensors"))) < after:
        time.sleep(0.05)
    time.sleep(1)  # in the middle of the next task
    (raylet,) = node.all_processes["raylet"]
    workers = subprocess.run(["pgrep", "-P", str(raylet.process.pid)], capture_output=True, text=True).stdout.split()
    for pid in workers:  # a worker would finish its task after its node is gone
        os.kill(int(pid), signal.SIGKILL)
    cluster.remove_node(node, allow_graceful=False)


def photos(folder: Path, count: int) -> list[Path]:
    """Write small images of noise, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:06}.png" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            pixels = np.random.default_rng(number).integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path, compress_level=1)
    return paths


if __name__ == "__main__":
    import ray_nodes  # by its name, so that workers can import what the tasks call

    ray_nodes.main(Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 20_000)
