"""`RobustClassifier`: tune on noisily labelled photographs, then predict, with scikit-learn's manners."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from srrs.config import ModelSettings, Settings
from srrs.errors import DataError, NotFittedError, SettingsError

if TYPE_CHECKING:
    from srrs.audit.decisions import Decision
    from srrs.audit.table import Audit
    from srrs.data.embeddings import Embeddings
    from srrs.data.inputs import Inputs
    from srrs.data.rows import Samples
    from srrs.data.samples import Progress
    from srrs.models.base import ImageTower
    from srrs.records import Floats
    from srrs.train.events import Listener

FORMAT = 1
NO_MODEL = "none"


class RobustClassifier:
    """A classifier that does not learn the mistakes in its labels, and says which they are.

    Parameters are those of `Settings`. Fitted attributes: `classes_` (class names), `audit_`, `head_` (C, D),
    `logit_scale_`, and `thumbnails_` for the page of pictures that are no files (`audit_.report(PATH,
    thumbnail=thumbnails_)`).

    >>> clf = RobustClassifier("openai/clip-vit-base-patch32").fit("photos/")     # doctest: +SKIP
    >>> clf.audit_.to_pandas(); clf.predict(["new.jpg"]); clf.save("model/")      # doctest: +SKIP
    """

    def __init__(self, model: str = ModelSettings().name, **settings: Any):
        self._settings = Settings.of({"model": model, **settings})
        self._clip: ImageTower | None = None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings, as scikit-learn asks for them."""
        return self._settings.flat()

    def set_params(self, **params: Any) -> "RobustClassifier":
        """Change settings; what was fitted stays until the next `fit`."""
        self._settings = Settings.of({**self._settings.flat(), **params})
        self._clip = None
        return self

    def __repr__(self) -> str:
        values, defaults = self._settings.flat(), Settings().flat()
        changed = [name for name, value in values.items() if value != defaults[name]]
        return f"RobustClassifier({', '.join(f'{n}={values[n]!r}' for n in changed)})"

    def fit(
        self,
        X: Any = None,  # noqa: N803
        y: Sequence[Any] | None = None,
        *,
        features: Any = None,
        class_vectors: Any = None,
        trusted: "str | Path | Mapping[Any, Any] | None" = None,
        cleanvision: bool = False,
        listeners: "Sequence[Listener]" = (),
        **columns: Any,
    ) -> "RobustClassifier":
        """Tune on labelled photographs, or on embeddings that any model made of them.

        Parameters
        ----------
        X : a folder, a table's file, a DataFrame, a Hugging Face data set, a list of paths, Pillow pictures or arrays;
            or embeddings: an array (N, D), an npz, safetensors or parquet file, or a folder written by `srrs embed`.
        y : labels of a list or array.
        features : embeddings of the rows of `X`, which are then not opened.
        class_vectors : with the model `none`, an array (C, D) in the order of `class_names`, or a file of them.
        trusted : labels that are certain: the decisions.csv of a review page, or a mapping from the ids of photographs
            to their class, None to leave one out.
        cleanvision : flag what cleanvision finds, too; needs `srrs[cleanvision]`.
        listeners : hear of each step, see `train.trackers`.
        columns : the reader's `names`, `class_names`, `images`, `path_column`, `label_column`, `id_column`; and
            `descriptions`, a JSON file.

        Raises a child of `SrrsError` that says what to mend.
        """
        from srrs import pipeline
        from srrs.data.imagelab import cleanvision_words
        from srrs.data.inputs import read_inputs

        descriptions = columns.pop("descriptions", None)
        bare = self._settings.model.name == NO_MODEL
        inputs = read_inputs(X, y, features=features, class_vectors=class_vectors, bare=bare, **columns)
        decisions = None if trusted is None else certain(trusted, inputs.samples, columns.get("class_names"))
        words = cleanvision_words(inputs.samples) if cleanvision else {}
        models = pipeline.load_models(self._settings, inputs.embeddings)
        request = pipeline.Request(
            inputs.samples, models, self._settings, features=inputs.features,
            descriptions=Path(descriptions) if descriptions else None, decisions=decisions or {},
        )  # fmt: skip
        fitted = pipeline.fit(request, listeners=listeners)
        self.thumbnails_ = pipeline.thumbnails(inputs.samples)
        return self.adopt(replace(fitted, audit=fitted.audit.with_flags(words)))

    def adopt(self, fitted: Any) -> "RobustClassifier":
        """Take over what `pipeline.fit` made."""
        models = fitted.task.models
        self._clip = models.image
        self.classes_ = np.array(fitted.task.class_names, dtype=object)
        self.audit_: Audit = fitted.audit
        self.notes_: tuple[str, ...] = fitted.notes
        self._take(fitted.outcome.classifier)
        self.contexts_ = {
            f"{tuner}.{name}": parameter.detach().cpu()
            for tuner, module in fitted.outcome.tuners.items()
            for name, parameter in module.named_parameters()
        }
        self._fingerprint = models.fingerprint
        return self

    def _take(self, classifier: Any) -> None:
        """Keep a linear classifier. Raises SettingsError for one that is not linear in the features."""
        from srrs.tuners import Head

        if not isinstance(classifier, Head):
            raise SettingsError(
                "RobustClassifier keeps classifiers that are linear in the features, but a tuner of the method is not: "
                "use srrs.train, whose outcome holds the classifier itself."
            )
        self.head_: Floats = np.ascontiguousarray(classifier.weights.cpu().numpy(), dtype=np.float32)
        bias = np.zeros(len(self.head_)) if classifier.bias is None else classifier.bias.cpu().numpy()
        self.bias_: Floats = np.asarray(bias, np.float32)
        self.logit_scale_ = float(classifier.scale)

    def predict_proba(self, X: Any = None, *, features: Any = None, **columns: Any) -> "Floats":  # noqa: N803
        """Probabilities (N, C) of what `fit` takes, without labels; NaN where a picture or embedding cannot be used."""
        from srrs.data.inputs import read_inputs

        self._check_fitted()
        return self.predict_inputs(read_inputs(X, features=features, labelled=False, **columns))

    def predict(self, X: Any = None, *, features: Any = None, **columns: Any) -> np.ndarray:  # noqa: N803
        """Class names (N,); None where a picture or embedding cannot be used."""
        probs = self.predict_proba(X, features=features, **columns)
        return np.array([None if np.isnan(p).any() else self.classes_[p.argmax()] for p in probs], dtype=object)

    def score(self, X: Any = None, y: Sequence[Any] | None = None, *, features: Any = None, **columns: Any) -> float:  # noqa: N803
        """Accuracy on what `fit` takes, with labels."""
        from srrs.data.inputs import read_inputs
        from srrs.predictions import accuracy

        self._check_fitted()
        inputs = read_inputs(X, y, features=features, class_names=tuple(self.classes_), **columns)
        return accuracy(inputs.samples, self.predict_inputs(inputs))

    def predict_inputs(self, inputs: "Inputs", progress: "Progress | None" = None) -> "Floats":
        """Probabilities (N, C) of checked inputs, NaN rows where a picture or embedding cannot be used."""
        from srrs.pipeline import encode_rows, readable_rows

        self._check_fitted()
        samples = inputs.samples
        rows = readable_rows(samples)
        probs = np.full((len(samples), len(self.classes_)), np.nan, dtype=np.float32)
        if inputs.embeddings is not None:
            self._check_embeddings(inputs.embeddings)
        if len(rows):
            found = inputs.features.take(rows) if inputs.features else encode_rows(
                samples, rows, self._model(), views=0, seed=0, progress=progress
            )  # fmt: skip
            probs[rows] = self.of_features(found.rows(slice(None))[0])
        return probs

    def of_features(self, features: "Floats") -> "Floats":
        """Probabilities (N, C) of unit-length features (N, D)."""
        logits = self.logit_scale_ * features.astype(np.float32) @ self.head_.T + self.bias_
        exponent = np.exp(logits - logits.max(1, keepdims=True))
        probs: Floats = exponent / exponent.sum(1, keepdims=True)
        return probs

    def save(self, folder: str | Path) -> Path:
        """Write `head.safetensors` (C, D), `prompts.safetensors` and `config.json`: serving needs no text tower."""
        import torch
        from safetensors.torch import save_file

        from srrs.models.hub import absolute_name

        self._check_fitted()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {"head": torch.from_numpy(np.ascontiguousarray(self.head_)), "bias": torch.from_numpy(self.bias_)}
        save_file(arrays, folder / "head.safetensors")
        save_file({k: v.contiguous() for k, v in self.contexts_.items()}, folder / "prompts.safetensors")
        config = {
            "format": FORMAT,
            "class_names": list(self.classes_),
            "logit_scale": self.logit_scale_,
            "model_fingerprint": self._fingerprint,
            "preprocessing": tower.preprocessing if (tower := self._model()) else {},
            "settings": self._settings.with_(model=absolute_name(self._settings.model.name)).flat(),
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
            arrays = {name: tensor.numpy() for name, tensor in load_file(folder / "head.safetensors").items()}
            head = arrays["head"]
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
        self.bias_ = arrays.get("bias", np.zeros(len(head), np.float32))
        self.contexts_, self._fingerprint = contexts, config["model_fingerprint"]
        return self

    def to_onnx(self, path: str | Path) -> tuple[Path, Path]:
        """Write image tower and head as one ONNX graph, and a JSON with its preprocessing; see `export.onnx`."""
        from srrs.export.onnx import write_onnx

        self._check_fitted()
        tower = self._load_model("cpu", "fp32")
        if tower is None:
            raise SettingsError(
                "Expected a model to export, but this classifier was fitted on embeddings (model none)."
            )
        return write_onnx(
            tower, self.head_, [str(name) for name in self.classes_], path, scale=self.logit_scale_, bias=self.bias_
        )

    def _model(self) -> "ImageTower | None":
        if self._clip is None:
            self._clip = self._load_model(self._settings.model.device, self._settings.model.precision)
        return self._clip

    def _load_model(self, device: str, precision: str) -> "ImageTower | None":
        """The image tower, or None where the classifier works on embeddings."""
        from srrs.models.hub import load_model

        if self._settings.model.name == NO_MODEL:
            return None
        clip = load_model(self._settings.model.name, device, precision)
        if clip.fingerprint.split("-")[0] != self._fingerprint.split("-")[0]:
            raise SettingsError(
                f"The model '{self._settings.model.name}' is not the one this classifier was tuned on: its weights or "
                "its preprocessing have changed. Tune again, or bring back the old ones."
            )
        return clip

    def _check_embeddings(self, embeddings: "Embeddings") -> None:
        """Raises SettingsError where embeddings cannot be those of the model that this classifier was tuned on."""
        if embeddings.size != self.head_.shape[1]:
            raise SettingsError(
                f"Expected embeddings of {self.head_.shape[1]} numbers each, as this classifier was tuned on, but "
                f"those of {embeddings.source} have {embeddings.size}."
            )
        if embeddings.model and self._fingerprint and embeddings.model != self._fingerprint:
            raise SettingsError(
                f"The embeddings of {embeddings.source} were made by another model than those that this classifier was "
                "tuned on. Embed the photographs with that one."
            )

    def _check_fitted(self) -> None:
        if not hasattr(self, "head_"):
            raise NotFittedError(
                "This classifier is not fitted yet: call fit(...) or RobustClassifier.load(...) first."
            )

    @staticmethod
    def _versions() -> dict[str, str]:
        from srrs.tuning import versions

        return versions()


def certain(
    trusted: str | Path | Mapping[Any, Any], samples: "Samples", class_names: Sequence[str] | None = None
) -> "dict[str, Decision]":
    """Decisions by id, from the page's file or from a mapping of ids to classes as the user writes them.

    Raises
    ------
    SettingsError
        `trusted` is neither.
    DataError
        It does not fit the samples, see `read_trusted` and `trusted_labels`.
    """
    from srrs.audit.decisions import read_trusted, trusted_labels
    from srrs.data.samples import label_key
    from srrs.pipeline import user_rows

    if isinstance(trusted, str | Path):
        return read_trusted(trusted, user_rows(samples))
    if not isinstance(trusted, Mapping):
        raise SettingsError(
            "expected trusted to be the path of a decisions.csv or a mapping from ids to classes, but found "
            f"{type(trusted).__name__}"
        )
    words = dict(zip(samples.class_keys, samples.class_names, strict=True))
    keys = {str(id): None if label is None else label_key(label, class_names) for id, label in trusted.items()}
    return trusted_labels({id: key and words.get(key, key) for id, key in keys.items()}, user_rows(samples))
