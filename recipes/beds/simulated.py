"""Beds of simulated CLIP features, drawn by a script whose path the caller gives."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np

from beds.bed import Images

SCALE = 100.0
"""Logit scale of CLIP ViT-B/32."""


def tools_of(path: Path) -> ModuleType:
    """The module at `path`, which has draw, corrupt, long_tail, open_set and out_of_fold."""
    spec = importlib.util.spec_from_file_location("clip_like", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def simulated(tools: ModuleType, profile: str, seed: int, shots: int, classes: int | None = None) -> Images:
    """Features of one profile; a fifth more classes are drawn, whose images show none of the others."""
    known = int(classes or tools._profile(profile)["C"])
    extra = max(4, known // 5)
    x, y, t, *_ = tools.draw(profile, seed, shots=shots, classes=known + extra, test=1)
    held = np.random.default_rng(seed + 17).permutation(known + extra)[:extra]
    kept = np.setdiff1d(np.arange(known + extra), held)
    inside = np.isin(y, kept)
    number = np.full(known + extra, -1)
    number[kept] = np.arange(known)
    return Images(np.float32(x[inside]), number[y[inside]], np.float32(t[kept]), SCALE, np.float32(x[~inside]))
