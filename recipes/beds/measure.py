"""One cell, measured: the new decision, the former default and the best single rules."""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from beds import rules
from beds.bed import Cell
from srrs.records import Group
from srrs.screening.decision import Verdicts, decide

Floats = NDArray[np.floating]
SOURCES = {"all": ("features", "zero_shot"), "features": ("features",), "zero-shot": ("zero_shot",)}
Row = dict[str, Any]


def decided(cell: Cell, sources: str, probs: Floats, trust: str = "auto") -> Verdicts:
    """The decision from "all", "features", "zero-shot", or "seen": out-of-fold probabilities that saw the labels."""
    classes = len(cell.vectors)
    if sources == "seen":
        return decide(cell.given, classes=classes, pred_probs=probs)
    given = {"features": cell.features, "zero_shot": cell.zero_shot}
    return decide(cell.given, classes=classes, trust=trust, **{name: given[name] for name in SOURCES[sources]})


def measured(cell: Cell, sources: str, tools: ModuleType) -> Row:
    """Figures of the decision, of the former default and of single rules on one cell."""
    probs = tools.out_of_fold(cell.features, cell.given, len(cell.vectors))
    return of_rules(cell, probs) | of_decision(cell, decided(cell, sources, probs))


def of_decision(cell: Cell, found: Verdicts) -> Row:
    """Figures of the decision on one cell."""
    wrong, known = cell.wrong, cell.truth >= 0
    noisy = np.isin(found.group, (Group.NOISY, Group.OUTSIDE))
    row: Row = {
        "images": len(wrong),
        "true": wrong.mean(),
        "rate": found.noise.rate,
        "low": found.noise.low,
        "high": found.noise.high,
        "holds": float(found.noise.low <= wrong.mean() <= found.noise.high),
        "changed": (found.target != cell.given).mean(),
        "before": wrong[known].mean(),
        "after": (found.target != cell.truth)[known].mean(),
        "precision": (noisy & wrong).sum() / noisy.sum() if noisy.any() else 1.0,
        "outside": (found.group == Group.OUTSIDE).mean(),
        "hypothesis": found.report.hypothesis,
    }
    if wrong.any():
        row["AP"] = average_precision_score(wrong, -found.quality)
        row["auroc"] = roc_auc_score(wrong, -found.quality)
        row["recall"] = (noisy & wrong).sum() / wrong.sum()
    if not known.all():
        row["outside auroc"] = roc_auc_score(~known, found.p_outside)
    return row


def of_rules(cell: Cell, probs: Floats) -> Row:
    """Figures of the former default and of single rules on one cell; `probs` (N, C) are out of fold."""
    wrong, known = cell.wrong, cell.truth >= 0
    fold = np.random.default_rng(5).integers(0, 5, len(wrong))
    posterior, rate, p_clean = rules.former(cell.features, cell.zero_shot, cell.given, fold)
    row: Row = {
        "old after": (posterior.argmax(1) != cell.truth)[known].mean(),
        "cl after": _by_confident_learning(cell, probs)[known].mean(),
        "old rate": rate,
    }
    if wrong.any():
        scores = {
            "old AP": p_clean,
            "zs": rules.zero_shot_margin(cell.zero_shot, cell.given),
            "lr x zs": rules.product_margin(cell.zero_shot, probs, cell.given),
            "cl": probs[np.arange(len(wrong)), cell.given],
            "nlp": rules.transport(cell.zero_shot, cell.given),
        }
        row |= {name: average_precision_score(wrong, -score) for name, score in scores.items()}
    return row


def _by_confident_learning(cell: Cell, probs: Floats) -> NDArray[np.bool_]:
    """Which labels are wrong after the ones that confident learning flags are replaced by the prediction."""
    from cleanlab.filter import find_label_issues

    flagged = find_label_issues(cell.given, probs, n_jobs=1)
    return np.asarray(np.where(flagged, probs.argmax(1), cell.given) != cell.truth)
