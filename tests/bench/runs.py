"""Runs that never ran."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

from srrs.bench.records import AuditScores, Record
from srrs.bench.schema import pack, pack_classes


def record(correct: Any = (1, 1, 0, 0), **values: Any) -> Record:
    """A record whose accuracy is that of `correct` (N,), and whose digest follows from all the rest."""
    bits = np.asarray(correct, bool)
    usual: dict[str, Any] = {
        "dataset": "caltech101",
        "classes": 100,
        "model": "bundled",
        "method": "srrs",
        "protocol": "fp-injection",
        "as_published": False,
        "noise_kind": "sym",
        "noise_rate": 0.5,
        "shots": 16,
        "seed": 1,
        "samples": 1600,
        "accuracy": float(bits.mean()),
        "macro_f1": 0.5,
        "ece": 0.1,
        "correct": pack(bits),
        "test_samples": len(bits),
        "audit": AuditScores(0.9, 0.8, 0.7, 0.6),
        "noise_given": 0.5,
        "noise_rectified": 0.2,
        "noise_estimate": (0.45, 0.4, 0.5),
        "zero_shot_auroc": 0.85,
        "seconds": 12.5,
        "text_passes": 200,
        "versions": {"srrs": "0.1.0"},
        "settings": {"steps": 100},
    } | values
    identity = repr({k: v for k, v in usual.items() if k not in ("seconds", "versions")})
    return Record(**{"digest": f"{zlib.crc32(identity.encode()):08x}"} | usual)


def classified(predicted: Any, truth: Any, **values: Any) -> Record:
    """A record with predicted and true classes (N,), whose accuracy and macro-F1 follow from them."""
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    score = float(f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0))
    packed = {"predicted": pack_classes(predicted), "truth": pack_classes(truth)}
    return record(predicted == truth, **{"macro_f1": score} | packed | values)


def write_run(folder: Path, run: Record, history: Any = (), partition: Any = None) -> Path:
    """A run's folder as the benchmark leaves it."""
    folder.mkdir(parents=True)
    (folder / "history.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in history))
    if partition is not None:
        (folder / "partition.json").write_text(json.dumps(partition))
    (folder / "result.json").write_text(json.dumps(run.to_json()))
    return folder
