"""Peak memory and time of `srrs audit` on simulated embeddings of any number.

    python recipes/large_audit.py WORK --samples 10000000 --classes 1000 --threads 1

Each class is a Gaussian. 20 % of the labels are wrong (symmetric noise). The class vectors are the class means plus an
error. The embeddings (float16) are one safetensors file in WORK, which is kept and used again. The table compares the
processor seconds of the audit with those of one matrix product of all embeddings with all class vectors in float32.
"""

import argparse
import json
import os
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from safetensors import safe_open

BLOCK = 65_536
RATE = 0.2
APART = 0.6
"""Standard deviation of a class mean in each dimension; that of an image around its mean is 1."""
ERROR = 0.8
"""Standard deviation of the error of a class vector."""


def write(path: Path, samples: int, size: int, classes: int) -> None:
    """Draw embeddings, labels and class vectors, and write them block by block."""
    generator = np.random.default_rng(0)
    means = APART * generator.standard_normal((classes, size), dtype=np.float32)
    vectors = means + ERROR * generator.standard_normal((classes, size), dtype=np.float32)
    truth = generator.integers(0, classes, samples)
    other = (truth + generator.integers(1, classes, samples)) % classes
    given = np.where(generator.random(samples) < RATE, other, truth)
    arrays = {"labels": given.astype("<i8"), "class_vectors": vectors.astype("<f4")}
    header: dict[str, object] = {"__metadata__": {"class_names": json.dumps([f"class {k}" for k in range(classes)])}}
    end = 0
    for name, dtype, shape, width in (
        ("labels", "I64", (samples,), 8),
        ("class_vectors", "F32", (classes, size), 4),
        ("embeddings", "F16", (samples, size), 2),
    ):
        start, end = end, end + width * int(np.prod(shape))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": (start, end)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(array.tobytes())
        for start in range(0, samples, BLOCK):
            of = truth[start : start + BLOCK]
            drawn = means[of] + generator.standard_normal((len(of), size), dtype=np.float32)
            drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
            file.write(drawn.astype("<f2").tobytes())


def product_seconds(path: Path) -> float:
    """Processor seconds of the product of all embeddings with the class vectors, block by block."""
    with safe_open(path, "numpy") as file:
        vectors, embeddings = file.get_tensor("class_vectors").T.copy(), file.get_slice("embeddings")
        seconds = 0.0
        samples = embeddings.get_shape()[0]
        for start in range(0, samples, BLOCK):
            block = embeddings[start : min(start + BLOCK, samples)].astype(np.float32)
            before = time.process_time()
            block @ vectors
            seconds += time.process_time() - before
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    path = asked.work / f"{asked.samples}-{asked.size}-{asked.classes}.safetensors"
    if not path.exists():
        part = path.with_suffix(".part")
        write(part, asked.samples, asked.size, asked.classes)
        part.rename(path)
    threads = {"OMP_NUM_THREADS": str(asked.threads), "OPENBLAS_NUM_THREADS": str(asked.threads)}
    began = time.monotonic()
    audit = [sys.executable, "-m", "srrs", "audit", str(path), "--model", "none", "--out", str(asked.work / "audit")]
    subprocess.run(audit, check=True, env={**os.environ, **threads})
    seconds, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    product = product_seconds(path)
    print("| samples x numbers, classes | peak memory (GB) | seconds | CPU s | CPU s of one product | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    spent = used.ru_utime + used.ru_stime
    print(
        f"| {asked.samples:,} x {asked.size}, {asked.classes:,} | {1024 * used.ru_maxrss / 1e9:.1f} | "
        f"{seconds:.0f} | {spent:.0f} | {product:.0f} | {spent / product:.1f} |"
    )


if __name__ == "__main__":
    main()
