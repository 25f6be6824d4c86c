"""Read thousands of mutated files and count what is not a clear answer: a traceback, a warning, or a wait.

    python recipes/fuzz.py --seed 0 --count 1000 --kinds images,tables,arrays,json,features

Each try writes one mutated file and reads it as the command line does. It counts as answered where the file is read,
with every row accounted for, or refused with a `DataError`; as failed where anything else is raised, a warning is
given, or it takes longer than `--seconds`. The mutations of a try follow from the seed and its number alone.
"""

import argparse
import faulthandler
import io
import json
import logging
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from srrs.audit.decisions import read_decisions
from srrs.audit.journal import read_journal
from srrs.audit.saved import SavedAudit, read_saved
from srrs.audit.table import Audit
from srrs.data.images import open_rgb
from srrs.data.inputs import read_inputs
from srrs.data.samples import checked, from_paths, read
from srrs.errors import DataError
from srrs.features.shard_file import Shard, pack_keys, write_shard
from srrs.features.shards import FeatureStore

ROWS = 6
TOKENS = [
    b"",
    b"\0",
    b"\xff",
    b"nan",
    b"-1",
    b"1e999",
    b'"',
    b",",
    b"\n",
    b"[]",
    b"{}",
    b"null",
    b"\xe2\x80\xa8",
    b"=1+1",
]
Reader = Callable[[Path], None]


def main() -> None:
    """Run the tries and print a table of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000, help="tries of each kind")
    parser.add_argument("--kinds", default=",".join(SEEDS))
    parser.add_argument("--seconds", type=int, default=20, help="a try that takes longer has failed")
    asked = parser.parse_args()
    logging.getLogger("srrs.features").setLevel(logging.ERROR)  # each damaged file is told
    signal.signal(signal.SIGALRM, _too_long)
    faulthandler.enable()
    counts: dict[str, Counter[str]] = {}
    start = time.monotonic()
    for kind in asked.kinds.split(","):
        counts[kind] = Counter(_tries(kind, asked.seed, asked.count, asked.seconds))
    print("| kind | tries | read | refused | failed |\n|---|---:|---:|---:|---:|")
    for kind, found in counts.items():
        print(f"| {kind} | {found.total()} | {found['read']} | {found['refused']} | {found['failed']} |")
    print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)
    sys.exit(any(found["failed"] for found in counts.values()))


def _tries(kind: str, seed: int, count: int, seconds: int) -> list[str]:
    seeds, outcomes = SEEDS[kind](), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        for at in range(ROWS):
            Image.new("RGB", (8, 8), (40 * at, 0, 0)).save(folder / "photos" / f"{at}.png")
        for number in range(count):
            rng = random.Random(f"{seed} {kind} {number}")
            suffix, content, reader = seeds[number % len(seeds)]
            path = folder / f"x{suffix}"
            path.write_bytes(mutated(content, rng))
            outcome, trace = _outcome(path, reader, seconds)
            outcomes.append(outcome)
            if trace:
                print(f"{kind} {number} (seed {seed}):\n{trace}", file=sys.stderr)
    return outcomes


def _outcome(path: Path, reader: Reader, seconds: int) -> tuple[str, str]:
    signal.alarm(seconds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            reader(path)
    except DataError:
        return "refused", ""
    except Exception:
        return "failed", traceback.format_exc(limit=-4)
    finally:
        signal.alarm(0)
    return "read", ""


def _too_long(number: int, frame: Any) -> None:
    raise TimeoutError("took too long")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A few bytes flipped, replaced, removed, doubled or inserted, or the end cut off."""
    out = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 8, 32])):
        if not out:
            break
        at, size = rng.randrange(len(out)), rng.randint(1, 16)
        match rng.randrange(6):
            case 0:
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                out[at : at + size] = rng.randbytes(size)
            case 2:
                del out[at : at + size]
            case 3:
                out[at:at] = out[at : at + size]
            case 4:
                out[at : at + len(token)] = (token := rng.choice(TOKENS))
            case 5 if rng.random() < 0.2:
                del out[at:]
    return bytes(out)


# What is mutated, and how it is read


def images() -> list[tuple[str, bytes, Reader]]:
    """One file of each format, plain and with EXIF, palettes, transparency or several frames."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 36, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    variants: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("JPEG", noise, {"exif": exif}), ("JPEG", noise.convert("CMYK"), {}), ("JPEG", noise, {"progressive": True}),
        ("PNG", noise, {"exif": exif}), ("PNG", noise.convert("P"), {"transparency": 0}),
        ("PNG", noise.convert("LA"), {}),
        ("WEBP", noise, {"exif": exif}), ("WEBP", noise, {"lossless": True}), ("BMP", noise, {}),
        ("GIF", noise, {"save_all": True, "append_images": [noise.rotate(90)]}), ("PPM", noise, {}),
        ("TIFF", noise, {"compression": "tiff_lzw"}), ("TIFF", noise.convert("I;16"), {}), ("ICO", noise, {}),
    ]  # fmt: skip
    if "AVIF" in Image.registered_extensions().values():
        variants.append(("AVIF", noise, {}))
    return [(f".{kind.lower()}", _saved(image, kind, options), _read_image) for kind, image, options in variants]


def _saved(image: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _read_image(path: Path) -> None:
    samples = checked(from_paths([path]))
    assert len(samples) == 1
    try:
        opened = open_rgb(path)
    except DataError:
        assert samples.issues[0], "a row without an issue does not open"
        raise
    assert opened.mode == "RGB"


def tables() -> list[tuple[str, bytes, Reader]]:
    """CSV with each separator, quotes and a byte order mark; parquet; and decisions."""
    frame = pd.DataFrame(
        {"path": [f"photos/{at}.png" for at in range(ROWS)], "label": ["cat", "dog"] * 3, "id": list("abcdef")}
    )
    frame["note"] = ['say "hi", twice', "", "ünï", "=1+1", "two\nlines", "x"]
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    texts = [frame.to_csv(index=False, sep=separator).encode() for separator in ",;\t"]
    decided = b"id,path,given,action,label\n" + b"".join(b"%c,x,cat,relabel,dog\n" % id for id in b"abc")
    return [
        *((".csv", text, _read_table) for text in (*texts, b"\xef\xbb\xbf" + texts[0].replace(b"\n", b"\r\n"))),
        (".parquet", buffer.getvalue(), _read_table),
        (".csv", decided, _read_decisions),
    ]


def _read_table(path: Path) -> None:
    samples = checked(read(path))
    assert len(samples.ids) == len(set(samples.ids)) == len(samples.content_keys)


def _read_decisions(path: Path) -> None:
    audit = path.with_name("audit.json")
    if not audit.exists():
        audit.write_text(json.dumps(_audit()))
    read_decisions(path, Audit.from_json(audit))


def arrays() -> list[tuple[str, bytes, Reader]]:
    """Npz, plain and compressed, npy, safetensors and parquet."""
    from safetensors.numpy import save

    vectors = np.random.default_rng(0).normal(size=(ROWS, 8)).astype(np.float32)
    labels, ids = np.array(["cat", "dog"] * 3), np.array(list("abcdef"))
    plain, packed, bare, columns = (io.BytesIO() for _ in range(4))
    np.savez(plain, embeddings=vectors, labels=labels, ids=ids, views=vectors[:, None])
    classes = {"class_names": np.array(["cat", "dog"]), "class_vectors": vectors[:2]}
    np.savez_compressed(packed, embeddings=vectors.astype(np.float16), labels=np.array([0, 1] * 3), **classes)
    np.save(bare, vectors)
    pd.DataFrame({"embedding": list(vectors), "label": labels, "id": ids}).to_parquet(columns)
    texts = {"labels": json.dumps(labels.tolist()), "ids": json.dumps(ids.tolist())}
    return [
        (".npz", plain.getvalue(), _read_arrays), (".npz", packed.getvalue(), _read_arrays),
        (".npy", bare.getvalue(), _read_bare), (".safetensors", save({"embeddings": vectors}, texts), _read_arrays),
        (".parquet", columns.getvalue(), _read_arrays),
    ]  # fmt: skip


def _read_arrays(path: Path) -> None:
    inputs = read_inputs(path)
    assert inputs.features is not None
    found = np.asarray(inputs.features.rows(inputs.samples.usable)[0], np.float32)
    assert np.isfinite(found).all()
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=5e-3)


def _read_bare(path: Path) -> None:
    inputs = read_inputs(path, ["cat", "dog"] * (ROWS // 2))
    assert len(inputs.samples) == ROWS


def _audit() -> SavedAudit:
    rows = [
        {"id": id, "path": f"photos/{id}.png", "given": "cat", "status": "noisy", "quality": 0.1, "p_clean": 0.1,
         "suggested": "dog", "suggested_confidence": 0.9, "match": None, "zero_shot": "dog", "macro": "dog",
         "neighbors_agree": 0.2, "issue": None, "flags": "duplicate of b"} for id in "abcdef"
    ]  # fmt: skip
    return {
        "schema_version": 3, "summary": {"noise": {"rate": 0.2, "low": 0.1, "high": 0.3}}, "settings": {"model": "x"},
        "class_names": ["cat", "dog"], "trusted": True, "findings": [{"level": "info", "text": "Fine."}],
        "bands": {"score": "p_clean", "lower": [0.3], "upper": [0.7]}, "rows": rows,
    }  # type: ignore[typeddict-item]  # fmt: skip


def json_files() -> list[tuple[str, bytes, Reader]]:
    """audit.json, and the undo files of a copy, a move and a table."""
    journal = {"schema_version": 1, "digest": "a", "folder": "/x/new", "made": ["/x/new"], "state": "done"}
    copy = {"kind": "copy", "steps": [["/x/a.jpg", "/x/new/cat/a.jpg"]]}
    move = {"kind": "move", "steps": [["/x/new/a.jpg", "/x/new/cat/a.jpg"]]}
    table = {
        "kind": "table",
        "folder": "/x/t.csv",
        "steps": [["/x/t.csv.before", "/x/t.csv"]],
        "before": "a",
        "after": "b",
    }
    return [
        (".json", json.dumps(_audit(), indent=1).encode(), _read_audit),
        *((".json", json.dumps(journal | kind).encode(), _read_undo) for kind in (copy, move, table)),
    ]


def _read_audit(path: Path) -> None:
    read_saved(path)
    audit = Audit.from_json(path)
    audit.summary()
    audit.to_json(path.with_name("again.json"))
    audit.report(path.with_name("report.html"), thumbnail=lambda row: None)


def _read_undo(path: Path) -> None:
    journal = read_journal(path)
    homes = (journal.folder, f"{journal.folder}-dropped", f"{journal.folder}.before")
    assert all(end.startswith(homes) for _, end in journal.steps)


KEYS = pack_keys([f"{at:064x}" for at in range(ROWS)])
FEATURES = np.random.default_rng(0).normal(size=(ROWS, 8)).astype(np.float16)


def features() -> list[tuple[str, bytes, Reader]]:
    """A file of cached features."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        return [(".shard", write_shard(model, "plain", Shard(KEYS, FEATURES)).read_bytes(), _read_features)]


def _read_features(path: Path) -> None:
    """Features that are read must be those that were written; images of the others are encoded again."""
    folder = path.with_name("model")
    folder.mkdir(exist_ok=True)
    (folder / "plain-1.safetensors").write_bytes(path.read_bytes())
    store = FeatureStore(folder, FEATURES.shape[1])
    known = ~store.missing("plain", KEYS)
    found = np.empty_like(FEATURES[known])
    if known.any():
        store.gather("plain", KEYS[known], found)
    assert found.tobytes() == FEATURES[known].tobytes()
    if not known.all():
        raise DataError("encoded again")


SEEDS = {"images": images, "tables": tables, "arrays": arrays, "json": json_files, "features": features}


if __name__ == "__main__":
    main()
