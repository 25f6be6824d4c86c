"""`RobustClassifier`: a scikit-learn classifier for images or embeddings whose labels are partly wrong.

N samples, C classes, D feature size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from srrs.config import Settings, flat_fields
from srrs.errors import SettingsError
from srrs.estimator.inputs import certain, is_matrix, tuner_spec
from srrs.estimator.tuned import Tuned
from srrs.models.base import NO_MODEL
from srrs.records import Floats

if TYPE_CHECKING:
    from srrs.audit.table import Audit
    from srrs.data.embeddings import Embeddings
    from srrs.data.inputs import Inputs
    from srrs.methods.stages import Method, TunerSpec
    from srrs.models.base import ImageTower, Models, VisionLanguage
    from srrs.pipeline import Fitted
    from srrs.training.events import Listener
    from srrs.tuners import Tuner

FLOATS = [np.float32, np.float64]
"""Types to which scikit-learn's checks convert embeddings."""


class RobustClassifier(ClassifierMixin, Tuned, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier that is robust to wrong labels, with an audit of the labels.

    It is a scikit-learn estimator for arrays of embeddings (N, D). Its methods also accept folders and tables of
    images, but the tools of scikit-learn cannot split these. All parameters that are not listed here are settings, see
    `Settings`. `fit` validates them.

    Parameters
    ----------
    model : hub name or path of a CLIP-like model, `bundled`, or `none` for embeddings without a model; or a loaded
        model (`srrs.load_model`).
    method : name of a method, with stages replaced as in `srrs(screen=bands)`; or a `Method`.
    tuners : tuners that replace those of the method: names, classes, `Tuner` or `TunerSpec` objects.

    Attributes
    ----------
    classes_ : (C,) the labels of an array, or the class names of images.
    audit_ : the audit of the given labels.
    notes_ : remarks and warnings about the data.
    head_, bias_, logit_scale_ : class weights (C, D), bias (C,) and logit scale of the linear classifier; absent if a
        tuner is not linear.
    parameters_ : tuned parameters by tuner and name, such as `macro.context`.
    thumbnails_ : function from the position of a row to a preview for the review page. It is needed if the images are
        not files: `audit_.report(PATH, thumbnail=thumbnails_)`.

    Examples
    --------
    >>> clf = RobustClassifier("openai/clip-vit-base-patch32").fit("photos/")     # doctest: +SKIP
    >>> clf.audit_.to_pandas(); clf.predict(["new.jpg"]); clf.save("model/")      # doctest: +SKIP
    >>> cross_val_score(RobustClassifier("none"), embeddings, labels)             # doctest: +SKIP
    """

    def __init__(
        self,
        model: "str | VisionLanguage | Models" = "openai/clip-vit-base-patch32",
        *,
        method: "str | Method" = "srrs",
        tuners: "Sequence[str | type[Tuner] | Tuner | TunerSpec] | None" = None,
        matcher: str = "auto",
        match_by: str = "itm",
        device: str = "auto",
        precision: str = "auto",
        context: str = "class",
        words: str = "a photo of a",
        random_context: int = 0,
        prompts: int = 1,
        class_position: str = "end",
        steps: int = 60,
        batch: int = 512,
        views_per_step: int = 4,
        learning_rate: float | None = None,
        views: int | None = None,
        live: bool = False,
        seed: int = 1,
        trust: str = "auto",
    ):
        self.model, self.method, self.tuners = model, method, tuners
        self.matcher, self.match_by, self.device, self.precision = matcher, match_by, device, precision
        self.context, self.words, self.random_context = context, words, random_context
        self.prompts, self.class_position = prompts, class_position
        self.steps, self.batch, self.views_per_step, self.learning_rate = steps, batch, views_per_step, learning_rate
        self.views, self.live, self.seed, self.trust = views, live, seed, trust

    @property
    def settings(self) -> Settings:
        """Return the parameters as settings. Raises SettingsError for a value that is not allowed."""
        values = {name: getattr(self, name) for name in flat_fields()}
        named = {name: values[name].name for name in ("model", "method") if hasattr(values[name], "name")}
        return Settings.of({**values, **named})

    def fit(
        self,
        X: Any = None,  # noqa: N803
        y: Sequence[Any] | None = None,
        *,
        features: Any = None,
        class_vectors: Any = None,
        trusted: str | Path | Mapping[Any, Any] | None = None,
        cleanvision: bool = False,
        descriptions: str | Path | None = None,
        listeners: "Sequence[Listener]" = (),
        **columns: Any,
    ) -> Self:
        """Audit the labels and tune the classifier, on labeled images or on embeddings of images. Return this object.

        Parameters
        ----------
        X : embeddings (N, D), or their npz, safetensors or parquet file, or a folder that `srrs embed` wrote; or a
            folder of images, the file of a table, a DataFrame, a Hugging Face dataset, a list of paths, Pillow images
            or arrays.
        y : (N,) labels, if `X` is an array or a list.
        features : embeddings of the images of `X`, which are then not opened.
        class_vectors : class vectors for the model `none`: an array (C, D) in the order of `class_names`, or a file.
        trusted : labels that a person has verified: the decisions.csv of a review page, or a mapping from ids to
            classes, in which None leaves the image out.
        cleanvision : whether to add the flags of cleanvision; needs `srrs[cleanvision]`.
        descriptions : a JSON file that maps class names to descriptions of the class.
        listeners : functions that are called with each event of the training, see `srrs.training.trackers`.
        columns : options for reading `X`: `names`, `class_names`, `images`, `path_column`, `label_column`, `id_column`,
            `merge_case`.

        Raises
        ------
        SrrsError
            An input or a setting cannot be used. The error is of a subclass, and its message names the correction.
        ValueError
            An array does not pass the checks of scikit-learn.
        """
        from srrs import pipeline
        from srrs.data.imagelab import cleanvision_words

        settings = self.settings
        method = self._method(settings)
        inputs = self._read(X, y, features=features, class_vectors=class_vectors, **columns)
        decisions = None if trusted is None else certain(trusted, inputs.samples, columns.get("class_names"))
        flags = cleanvision_words(inputs.samples) if cleanvision else {}
        request = pipeline.Request(
            inputs.samples, self._load_models(settings, inputs.embeddings), settings, method=method,
            features=inputs.features, decisions=decisions or {},
            descriptions=Path(descriptions) if descriptions else None,
        )  # fmt: skip
        fitted = pipeline.fit(request, listeners=listeners)
        return self._adopt(replace(fitted, audit=fitted.audit.with_flags(flags)), pipeline.thumbnails(inputs.samples))

    def _read(self, X: Any, y: Any, **options: Any) -> "Inputs":  # noqa: N803
        """Return the checked inputs of `fit`. If `X` is a matrix, set `classes_` to its labels.

        Raises the errors of `fit`.
        """
        from srrs.data.embeddings import is_embeddings
        from srrs.data.inputs import read_inputs

        for name in ("classes_", "n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        if y is None and is_embeddings(X) and hasattr(X, "dtype"):
            raise ValueError("RobustClassifier requires y to be passed, but the target y is None.")
        if is_matrix(X, y) and options.get("features") is None:
            X, y = validate_data(self, X, y, dtype=FLOATS, ensure_all_finite="allow-nan", ensure_min_samples=2)  # noqa: N806
            if options.get("class_names") is None:
                check_classification_targets(y)
                labels, codes = np.unique(y, return_inverse=True)
                if len(labels) < 2:
                    raise ValueError(f"Expected labels of at least two classes, but there is one class: {labels[0]}")
                self.classes_ = labels
                options["class_names"] = tuple(map(str, labels))
                y = codes
        model = self.model if isinstance(self.model, str) else self.model.name
        return read_inputs(X, y, bare=model == NO_MODEL, **options)

    def _method(self, settings: Settings) -> "Method":
        """Return the method, with the tuners of the parameter `tuners` if it is not None."""
        from srrs.tuning import method_of

        method = method_of(settings) if isinstance(self.method, str) else self.method
        if self.tuners is None:
            return method
        specs = tuple(map(tuner_spec, self.tuners))
        return replace(method, tuners=specs, text_free=specs)

    def _load_models(self, settings: Settings, embeddings: "Embeddings | None") -> "Models":
        """Return the models: those of the settings, or those of a loaded model.

        Raises SettingsError if another model made the embeddings.
        """
        from srrs.models.base import Models
        from srrs.models.matcher import load_matcher
        from srrs.pipeline import check_made_by, load_models

        if isinstance(self.model, str):
            return load_models(settings, embeddings)
        if isinstance(self.model, Models):
            return self.model
        if embeddings is not None:
            check_made_by(embeddings, self.model)
        auto = NO_MODEL if embeddings and self.matcher == "auto" else self.matcher
        return Models.of(self.model, load_matcher(auto, self.model.name, self.device))

    def _adopt(self, fitted: "Fitted", thumbnails: Any = None) -> Self:
        """Set the attributes of a fitted classifier from the result of `pipeline.fit`, and return the classifier."""
        models = fitted.task.models
        self._tower: ImageTower | None = models.image
        if not hasattr(self, "classes_"):
            self.classes_ = np.array(fitted.task.class_names, dtype=object)
        self.audit_: Audit = fitted.audit
        self.notes_: tuple[str, ...] = fitted.notes
        self.thumbnails_ = thumbnails
        self._take(fitted.outcome.classifier)
        self.parameters_: dict[str, Floats] = {
            f"{tuner}.{name}": parameter.detach().float().cpu().numpy()
            for tuner, module in fitted.outcome.tuners.items()
            for name, parameter in module.named_parameters()
        }
        self._fingerprint = models.fingerprint
        return self

    def predict_proba(self, X: Any = None, *, features: Any = None, **columns: Any) -> Floats:  # noqa: N803
        """Return the probabilities (N, C) for any input of `fit`; NaN for an image that cannot be used.

        Parameters
        ----------
        X, features : as in `fit`.
        columns : options for reading `X`, as in `fit`.

        Raises
        ------
        NotFittedError
            The classifier is not fitted.
        SrrsError
            The input cannot be used. The error is of a subclass.
        ValueError
            An array does not pass the checks of scikit-learn.
        """
        from srrs.data.inputs import read_inputs

        self._check_fitted()
        if hasattr(self, "n_features_in_") and features is None and is_matrix(X, fitted=True):
            X = validate_data(self, X, reset=False, dtype=FLOATS, ensure_all_finite="allow-nan")  # noqa: N806
        return self.predict_inputs(read_inputs(X, features=features, labeled=False, **columns))

    def predict(self, X: Any = None, *, features: Any = None, **columns: Any) -> np.ndarray:  # noqa: N803
        """Return the predicted labels or class names (N,) for any input of `fit`; None for an unusable image.

        The parameters and errors are those of `predict_proba`.
        """
        probs = self.predict_proba(X, features=features, **columns)
        known = np.asarray(~np.isnan(probs).any(axis=1))
        if known.all():
            return np.asarray(self.classes_[probs.argmax(axis=1)])
        best = np.where(known[:, None], probs, 0).argmax(axis=1)
        found = self.classes_.astype(object)[best]
        found[~known] = None
        return np.asarray(found)

    def score(  # `features` and `columns` are options of srrs, besides scikit-learn's parameters
        self, X: Any = None, y: Any = None, sample_weight: Any = None, *, features: Any = None, **columns: Any  # noqa: N803
    ) -> float:  # fmt: skip
        """Return the accuracy, from 0 to 1, on an input of `fit` with labels.

        `sample_weight` (N,) weights the rows of an array, and is ignored for other inputs. The other parameters are
        those of `fit`, and the errors those of `predict_proba`.
        """
        from srrs.data.inputs import read_inputs
        from srrs.predictions import accuracy

        self._check_fitted()
        if features is None and hasattr(self, "n_features_in_") and is_matrix(X, y):
            return float(super().score(X, y, sample_weight))
        names = tuple(map(str, self.classes_))
        inputs = read_inputs(X, y, features=features, class_names=names, **columns)
        return accuracy(inputs.samples, self.predict_inputs(inputs))

    @classmethod
    def load(cls, folder: str | Path, *, device: str | None = None) -> Self:
        """Return a classifier that `save` wrote. The frozen model is loaded when it is first needed.

        `device` replaces the saved setting. Raises DataError if the folder cannot be read or is damaged.
        """
        from srrs.estimator.saved import read_saved

        saved = read_saved(Path(folder))
        self = cls(**saved.settings.with_(**({"device": device} if device else {})).flat())
        numbers = not any(isinstance(name, str) for name in saved.class_names)
        self.classes_ = np.array(saved.class_names, dtype=None if numbers else object)
        self.head_, self.bias_, self.logit_scale_ = saved.head, saved.bias, saved.logit_scale
        self.parameters_, self._fingerprint = saved.parameters, saved.model_fingerprint
        self._classifier = self._tower = None
        return self

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags. Rows of embeddings may contain NaN."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True  # the prediction of such a row is missing
        return tags

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted copy that shares the frozen model. A deep copy would keep the model in memory twice."""
        return type(self)(**self.get_params(deep=False))

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle without the frozen model, which is loaded again when it is needed.

        Raises SettingsError if the classifier was created with a loaded model.
        """
        if not isinstance(self.model, str):
            raise SettingsError(
                "A classifier on a loaded model cannot be pickled: give the model's name instead, or use save(folder)."
            )
        return {**super().__getstate__(), "_tower": None, "thumbnails_": None}
