"""`RobustClassifier`: tune on noisily labelled photographs, then predict, with scikit-learn's manners."""

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from srrs.config import Settings
from srrs.errors import DataError, NotFittedError, SettingsError

if TYPE_CHECKING:
    from srrs.audit.table import Audit
    from srrs.data.samples import Samples
    from srrs.models.base import VisionLanguage
    from srrs.records import Floats
    from srrs.train.events import Listener

FORMAT = 1


class RobustClassifier:
    """A classifier that does not learn the mistakes in its labels, and says which they are.

    Parameters are those of `Settings`. Fitted attributes: `classes_` (class names), `audit_`, `head_` (C, D) and
    `logit_scale_`.

    >>> clf = RobustClassifier("openai/clip-vit-base-patch32").fit("photos/")     # doctest: +SKIP
    >>> clf.audit_.to_pandas(); clf.predict(["new.jpg"]); clf.save("model/")      # doctest: +SKIP
    """

    def __init__(self, model: str = Settings.model, **settings: Any):
        self._settings = Settings.of({"model": model, **settings})
        self._clip: VisionLanguage | None = None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings, as scikit-learn asks for them."""
        return self._settings.to_dict()

    def set_params(self, **params: Any) -> "RobustClassifier":
        """Change settings; what was fitted stays until the next `fit`."""
        self._settings = Settings.of({**self._settings.to_dict(), **params})
        self._clip = None
        return self

    def __repr__(self) -> str:
        changed = [f.name for f in fields(Settings) if getattr(self._settings, f.name) != f.default]
        return f"RobustClassifier({', '.join(f'{n}={getattr(self._settings, n)!r}' for n in changed)})"

    def fit(
        self,
        X: Any,  # noqa: N803
        y: Sequence[Any] | None = None,
        *,
        listeners: "Sequence[Listener]" = (),
        **columns: Any,
    ) -> "RobustClassifier":
        """Tune on a folder, a CSV, a DataFrame, or a list of paths with labels `y`.

        `columns` are the reader's: `names`, `images`, `path_column`, `label_column`, `id_column`; and `descriptions`,
        a JSON file. `listeners` hear of each step, see `train.trackers`.
        Raises a child of `SrrsError` that says what to mend.
        """
        from srrs import pipeline
        from srrs.data.samples import checked, read

        descriptions = columns.pop("descriptions", None)
        samples = checked(read(X, y, **columns))
        models = pipeline.load_models(self._settings)
        clauses = descriptions and Path(descriptions)
        fitted = pipeline.fit(samples, models, self._settings, descriptions=clauses, listeners=listeners)
        return self.adopt(fitted, models)

    def adopt(self, fitted: Any, models: Any) -> "RobustClassifier":
        """Take over what `pipeline.fit` made."""
        self._clip = models.clip
        self.classes_ = np.array(fitted.task.class_names, dtype=object)
        self.audit_: Audit = fitted.audit
        self.notes_: tuple[str, ...] = fitted.notes
        self.head_: Floats = mean_head(fitted.tuned.weights.cpu().numpy())
        self.logit_scale_ = float(models.clip.logit_scale)
        self.contexts_ = {
            f"learner.{number}.{name}": parameter.detach().cpu()
            for number, learner in enumerate(fitted.tuned.learners)
            for name, parameter in learner.named_parameters()
        }
        self._fingerprint = models.clip.fingerprint
        return self

    def predict_proba(self, X: Any) -> "Floats":  # noqa: N803
        """Probabilities (N, C) of a folder, table or list of paths; NaN where a picture cannot be read."""
        return self.predict_samples(self._read(X))

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Class names (N,); None where a picture cannot be read."""
        probs = self.predict_proba(X)
        return np.array([None if np.isnan(p).any() else self.classes_[p.argmax()] for p in probs], dtype=object)

    def score(self, X: Any, y: Sequence[Any] | None = None) -> float:  # noqa: N803
        """Accuracy on labelled photographs: a labelled folder or table, or paths with labels `y`."""
        from srrs.data.samples import checked, read

        self._check_fitted()
        samples = checked(read(X, y, class_names=tuple(self.classes_)))
        rows = samples.usable
        if not len(rows):
            raise DataError(f"Expected labelled photographs to score on, but found none usable among {len(samples)}.")
        guess = self.predict_samples(samples)[rows].argmax(1)
        return float((guess == np.asarray(samples.labels)[rows]).mean())

    def predict_samples(self, samples: "Samples") -> "Floats":
        """Probabilities (N, C) of checked samples, NaN rows where a picture cannot be read."""
        from srrs.data.store import encode
        from srrs.pipeline import readable_rows

        self._check_fitted()
        rows = readable_rows(samples)
        probs = np.full((len(samples), len(self.classes_)), np.nan, dtype=np.float32)
        if len(rows):
            features = encode(samples, rows, self._model(), views=0).plain.astype(np.float32)
            logits = self.logit_scale_ * features @ self.head_.T
            exponent = np.exp(logits - logits.max(1, keepdims=True))
            probs[rows] = exponent / exponent.sum(1, keepdims=True)
        return probs

    def save(self, folder: str | Path) -> Path:
        """Write `head.safetensors` (C, D), `prompts.safetensors` and `config.json`: serving needs no text tower."""
        import torch
        from safetensors.torch import save_file

        from srrs.models.hub import absolute_name

        self._check_fitted()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"head": torch.from_numpy(np.ascontiguousarray(self.head_))}, folder / "head.safetensors")
        save_file({k: v.contiguous() for k, v in self.contexts_.items()}, folder / "prompts.safetensors")
        config = {
            "format": FORMAT,
            "class_names": list(self.classes_),
            "logit_scale": self.logit_scale_,
            "model_fingerprint": self._fingerprint,
            "preprocessing": self._model().preprocessing,
            "settings": self._settings.with_(model=absolute_name(self._settings.model)).to_dict(),
            "versions": self._versions(),
        }
        (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path, *, device: str | None = None) -> "RobustClassifier":
        """Read what `save` wrote. The frozen model itself is loaded when first needed."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            head = load_file(folder / "head.safetensors")["head"].numpy()
            contexts = load_file(folder / "prompts.safetensors")
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise DataError(
                f"Expected a folder written by `srrs fit --out` at '{folder}', but it cannot be read: {error}"
            ) from None
        if config.get("format") != FORMAT:
            raise DataError(f"'{folder}' has format {config.get('format')}, but this version reads format {FORMAT}.")
        settings = config["settings"] | ({"device": device} if device else {})
        self = cls(**settings)
        self.classes_ = np.array(config["class_names"], dtype=object)
        self.head_, self.logit_scale_ = head, config["logit_scale"]
        self.contexts_, self._fingerprint = contexts, config["model_fingerprint"]
        return self

    def to_onnx(self, path: str | Path) -> tuple[Path, Path]:
        """Write image tower and head as one ONNX graph, and a JSON with its preprocessing; see `export.onnx`."""
        from srrs.export.onnx import write_onnx

        self._check_fitted()
        return write_onnx(self._load_model("cpu", "fp32"), self.head_, [str(name) for name in self.classes_], path)

    def _model(self) -> "VisionLanguage":
        if self._clip is None:
            self._clip = self._load_model(self._settings.device, self._settings.precision)
        return self._clip

    def _load_model(self, device: str, precision: str) -> "VisionLanguage":
        from srrs.models.hub import load_model

        clip = load_model(self._settings.model, device, precision)
        if clip.fingerprint.split("-")[0] != self._fingerprint.split("-")[0]:
            raise SettingsError(
                f"The model '{self._settings.model}' is not the one this classifier was tuned on: its weights or "
                "its preprocessing have changed. Tune again, or bring back the old ones."
            )
        return clip

    def _read(self, source: Any) -> "Samples":
        from srrs.data.samples import checked, read

        self._check_fitted()
        return checked(read(source, labelled=False))

    def _check_fitted(self) -> None:
        if not hasattr(self, "head_"):
            raise NotFittedError(
                "This classifier is not fitted yet: call fit(...) or RobustClassifier.load(...) first."
            )

    @staticmethod
    def _versions() -> dict[str, str]:
        from srrs.pipeline import versions

        return versions()


def mean_head(weights: "Floats") -> "Floats":
    """(C, D) from the learners' class weights (learners, C, D): averaging weights averages the learners' logits."""
    return np.ascontiguousarray(weights.mean(0), dtype=np.float32)
