"""The tuned part of a classifier: its arrays, its predictions and its files.

N samples, C classes, D feature size.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn.exceptions

from srrs.config import Settings
from srrs.errors import NotFittedError, SettingsError
from srrs.models.base import NO_MODEL
from srrs.records import Floats, Ints

if TYPE_CHECKING:
    from srrs.data.embeddings import Embeddings
    from srrs.data.inputs import Inputs
    from srrs.data.samples import Progress
    from srrs.models.base import ImageTower


class NotYetFittedError(NotFittedError, sklearn.exceptions.NotFittedError):  # type: ignore[misc]
    """The classifier was not fitted. The error is both an `SrrsError` and scikit-learn's `NotFittedError`."""


class Tuned:
    """A tuned classifier. A subclass must define the attributes `model`, `device`, `precision` and `settings`."""

    model: Any
    """Name of the frozen model, or the loaded model."""
    device: str
    """Device, as in the settings."""
    precision: str
    """Precision, as in the settings."""
    classes_: np.ndarray
    """(C,) the classes: names, or labels of an array."""
    parameters_: dict[str, Floats]
    """Tuned parameters by tuner and name."""
    _fingerprint: str
    """Fingerprint of the frozen model. The attribute is absent before the classifier is fitted."""
    _tower: "ImageTower | None"
    """The loaded image tower; None before it is needed, and for embeddings without a model."""

    @property
    def settings(self) -> Settings:
        """Return the parameters of the classifier as `Settings`. A subclass must define this property."""
        raise NotImplementedError

    def _take(self, classifier: Any) -> None:
        """Store the tuned classifier: as arrays if it is linear in the features, otherwise as an object."""
        from srrs.tuners import Head

        self._classifier = None if isinstance(classifier, Head) else classifier
        for name in ("head_", "bias_", "logit_scale_"):
            self.__dict__.pop(name, None)
        if isinstance(classifier, Head):
            self.head_: Floats = np.ascontiguousarray(classifier.weights.cpu().numpy(), dtype=np.float32)
            bias = np.zeros(len(self.head_)) if classifier.bias is None else classifier.bias.cpu().numpy()
            self.bias_: Floats = np.asarray(bias, np.float32)
            self.logit_scale_ = float(classifier.scale)

    def predict_inputs(self, inputs: "Inputs", progress: "Progress | None" = None) -> Floats:
        """Return the probabilities (N, C) of checked inputs; NaN if an image or embedding cannot be used.

        `progress` is called as images are encoded. Raises SettingsError if embeddings do not match the model.
        """
        from srrs.pipeline import readable_rows

        self._check_fitted()
        samples = inputs.samples
        rows = readable_rows(samples)
        probs = np.full((len(samples), len(self.classes_)), np.nan, dtype=np.float32)
        if inputs.embeddings is not None:
            self._check_embeddings(inputs.embeddings)
        if len(rows):
            probs[rows] = self.of_features(self.features_of(inputs, rows, progress))
        return probs

    def features_of(self, inputs: "Inputs", rows: Ints, progress: "Progress | None" = None) -> Floats:
        """Return the features (n, D) of the samples at n positions `rows`. Without given features, encode the images.

        `progress` is called as images are encoded.
        """
        from srrs.pipeline import encode_rows

        found = inputs.features.take(rows) if inputs.features else encode_rows(
            inputs.samples, rows, self._image_tower(), views=0, seed=0, progress=progress
        )  # fmt: skip
        plain: Floats = found.plain_rows()
        return plain

    def of_features(self, features: Floats) -> Floats:
        """Return the probabilities (n, C) of unit-length features (n, D), for any number n of images."""
        seen: Floats = np.asarray(features, np.float32)
        logits: Floats
        if self._classifier is None:
            logits = self.logit_scale_ * seen @ self.head_.T + self.bias_
        else:
            logits = _logits(self._classifier, seen)
        exponent = np.exp(logits - logits.max(1, keepdims=True))
        probs: Floats = exponent / exponent.sum(1, keepdims=True)
        return probs

    def save(self, folder: str | Path) -> Path:
        """Write the classifier to a folder, and return the folder.

        The files are `head.safetensors` (class weights), `prompts.safetensors` (tuned parameters) and `config.json`.
        Prediction from them needs no text tower.

        Raises
        ------
        NotFittedError
            The classifier is not fitted.
        SettingsError
            A tuner of the method is not linear in the features, so that the classifier is not one matrix.
        DataError
            A file cannot be written.
        """
        from srrs.estimator.saved import Saved
        from srrs.models.hub import absolute_name
        from srrs.models.revision import pinned
        from srrs.tuning import versions

        self._check_fitted()
        if self._classifier is not None:
            raise SettingsError(
                "Expected tuners that are linear in the features to save the classifier, but one is not. Keep the "
                "fitted object, or save the tuner's parameters_."
            )
        tower, settings = self._image_tower(), self.settings
        revision = str(getattr(tower, "revision", ""))
        saved = Saved(
            settings=settings.with_(model=pinned(absolute_name(settings.model.name), revision)),
            class_names=self.classes_.tolist(),
            head=self.head_,
            bias=self.bias_,
            logit_scale=self.logit_scale_,
            parameters=self.parameters_,
            model_fingerprint=self._fingerprint,
            preprocessing=tower.preprocessing if tower else {},
        )
        return saved.write(Path(folder), versions())

    def to_onnx(self, path: str | Path) -> tuple[Path, Path]:
        """Write the image tower and the class weights as one ONNX graph, and the preprocessing as a JSON file.

        Return both paths. See `srrs.export.onnx.write_onnx`, also for its errors. Raises NotFittedError if the
        classifier is not fitted, and SettingsError if it is not linear in the features or has no image tower.
        """
        from srrs.export.onnx import write_onnx

        self._check_fitted()
        tower = self._load_tower("cpu", "fp32")
        if tower is None or self._classifier is not None:
            raise SettingsError(
                "Expected a classifier on an image tower and linear in its features for ONNX, but "
                + ("a tuner is not linear." if tower else "it was tuned on embeddings alone (--model none).")
            )
        names = [str(name) for name in self.classes_]
        return write_onnx(tower, self.head_, names, path, scale=self.logit_scale_, bias=self.bias_)

    def _image_tower(self) -> "ImageTower | None":
        """Return the image tower, which is loaded on the first call; None for embeddings without a model."""
        if self._tower is None:
            self._tower = self._load_tower(self.device, self.precision)
        return self._tower

    def _load_tower(self, device: str, precision: str) -> "ImageTower | None":
        """Return the image tower with which this classifier was tuned; None for embeddings without a model.

        Raises SettingsError if the tower of this name has other weights or another preprocessing.
        """
        from srrs.models.fingerprint import same_weights
        from srrs.models.hub import load_model

        if self.model == NO_MODEL:
            return None
        if not isinstance(self.model, str):
            tower: ImageTower | None = getattr(self.model, "image", self.model)
            return tower
        loaded = load_model(self.model, device, precision)
        if not same_weights(loaded.fingerprint, self._fingerprint):
            raise SettingsError(
                f"The model '{self.model}' is not the one this classifier was tuned on: its weights or its "
                "preprocessing have changed. Tune again, or bring back the old ones."
            )
        return loaded

    def _check_embeddings(self, embeddings: "Embeddings") -> None:
        """Raise SettingsError if the embeddings cannot come from the model with which this classifier was tuned."""
        size = self.head_.shape[1] if self._classifier is None else embeddings.size
        if embeddings.size != size:
            raise SettingsError(
                f"Expected embeddings of {size} numbers each, as this classifier was tuned on, but those of "
                f"{embeddings.source} have {embeddings.size}."
            )
        if embeddings.model and self._fingerprint and embeddings.model != self._fingerprint:
            raise SettingsError(
                f"The embeddings of {embeddings.source} were made by another model than those that this classifier was "
                "tuned on. Embed the images with that one."
            )

    def _check_fitted(self) -> None:
        """Raise NotFittedError if the classifier is not fitted."""
        if not self.__sklearn_is_fitted__():
            raise NotYetFittedError(
                "This classifier is not fitted yet: call fit(...) or RobustClassifier.load(...) first."
            )

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether the classifier is fitted or loaded."""
        return hasattr(self, "_fingerprint")


def _logits(classifier: Any, features: Floats, rows: int = 4096) -> Floats:
    """Return the logits (N, C) of a classifier that is not linear, for at most `rows` images at a time."""
    import torch

    from srrs.records import Batch

    with torch.inference_mode():
        parts = [
            classifier(Batch(features=torch.from_numpy(features[at : at + rows]))).cpu()
            for at in range(0, len(features), rows)
        ]
    return np.asarray(torch.cat(parts).float().numpy())
