"""The settings of a run, grouped by topic. Pydantic validates their types and limits."""

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from srrs.errors import SettingsError

AUDIT_VIEWS = 0
"""Number of augmented views of each image that `srrs audit` encodes if `views` is not set.

On the development classes, 4 and 8 views change the average precision of an audit by 0.01 (`recipes/views.py`). Each
view takes as much time as the plain view.
"""
FIT_VIEWS = 4
"""Number of augmented views of each image that `srrs fit`, the demo and the benchmark encode if `views` is not set. On
the development classes, 8 views are not better than 4."""
LEARNING_RATE = 0.4
"""Learning rate of the prompts, if neither the settings nor the method contain one."""

_EXPECTED = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "above {gt:g}",
    "less_than_equal": "at most {le:g}",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "string_pattern_mismatch": "text of the form {pattern}",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "literal_error": "{expected}",
    "model_type": "a mapping of settings",
}
"""Description of the expected value for an error message, by pydantic's name of the error."""


class Validated(BaseModel):
    """A frozen record whose fields are validated strictly. It raises SettingsError instead of pydantic's error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    if not TYPE_CHECKING:  # type checkers see the signature that pydantic derives from the fields

        def __init__(self, **values: Any):
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise SettingsError(sentence(error)) from None


class ModelSettings(Validated):
    """The pretrained models, and the device on which they run."""

    name: str = Field(
        default="openai/clip-vit-base-patch32",
        description="Hub name (perhaps with @revision) or path of a CLIP-like model, "
        "open_clip:ARCHITECTURE/PRETRAINED, `bundled`, or `none` for embeddings without a model.",
    )
    matcher: str = Field(default="auto", description="auto, none, or hub name or path of an image-text matcher (BLIP).")
    match_by: Literal["itm", "itc"] = Field(
        default="itm", description="Score of the matcher: matching head (itm) or contrastive similarity (itc)."
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1 or mps.")
    precision: str = Field(default="auto", description="auto, fp32, bf16 or fp16.")


class TuningSettings(Validated):
    """The method, and the prompts that it tunes."""

    method: str = Field(
        default="srrs", description="A method such as srrs, gce or coop. Replace parts as in `srrs(screen=bands)`."
    )
    context: Literal["class", "shared"] = Field(
        default="class", description="One context for each class (class), or one for all classes (shared)."
    )
    words: str = Field(default="a photo of a", description="Words that initialize the context.")
    random_context: int = Field(
        default=0,
        ge=0,
        description="Number of random context vectors that replace `words`. 0 keeps `words`; CoOp uses 16.",
    )
    prompts: int = Field(default=1, ge=1, description="Number of prompts for each class.")
    class_position: Literal["end", "middle", "front"] = Field(
        default="end", description="Position of the class name in the prompt: end, middle or front."
    )


class ScheduleSettings(Validated):
    """Number of steps, batch size and learning rate of the training."""

    steps: int = Field(default=60, ge=0, description="Number of training steps.")
    batch: int = Field(default=512, ge=1, description="Number of images in a step.")
    views_per_step: int = Field(default=4, ge=1, description="Number of views of each image in a step.")
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Learning rate of the prompts (SGD, momentum 0.9, cosine decay). The rates of other tuners are "
        "scaled by the same factor. By default, the method chooses.",
    )


class DataSettings(Validated):
    """The views of the images that are encoded."""

    views: int | None = Field(
        default=None,
        ge=0,
        description=f"Number of augmented views of each image. Default: {AUDIT_VIEWS} for audit, {FIT_VIEWS} for fit.",
    )
    live: bool = Field(
        default=False, description="Encode fresh crops in each training step instead of using cached views (slow)."
    )


class Settings(Validated):
    """All settings of a run, grouped by topic. The defaults are the same for every dataset and noise rate.

    Each setting also has a flat name without its topic, such as `steps` for `schedule.steps`, and `model` for
    `model.name`. Flat names are unique. The command line, `RobustClassifier` and the records use them:

    >>> Settings.of(model="bundled", steps=20).schedule.steps
    20
    """

    model: ModelSettings = ModelSettings()
    tuning: TuningSettings = TuningSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    data: DataSettings = DataSettings()
    seed: int = Field(default=1, ge=0, description="Seed of every random draw.")
    trust: Literal["auto", "labels", "model"] = Field(
        default="auto",
        description="What to believe if labels and model disagree about most images: auto, labels or model.",
    )

    @classmethod
    def of(cls, values: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """Return settings from flat names, from topics, or from both.

        `values` and `more` contain settings such as `{"model": "bundled", "steps": 20}` (flat names) or
        `{"schedule": {"steps": 20}}` (topics). The other settings have their defaults.

        Raises
        ------
        SettingsError
            A name is unknown, or a value is not allowed. The message contains the most similar name.
        """
        return cls().with_(**{**(values or {}), **more})

    def with_(self, **changes: Any) -> Self:
        """Return a copy with some settings changed, by flat name or by topic. Raises the errors of `of`."""
        values = self.by_topic()
        for name, value in _by_flat_name(changes):
            topic, own = _place(name)
            target = values[topic] if topic else values
            target[own] = value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value
        return type(self)(**values)

    def flat(self) -> dict[str, Any]:
        """Return all settings by flat name, as JSON values."""
        values = self.by_topic()
        places = {name: _place(name) for name in flat_fields()}
        return {name: values[topic][own] if topic else values[own] for name, (topic, own) in places.items()}

    def by_topic(self) -> dict[str, Any]:
        """Return all settings by topic, as JSON values."""
        return self.model_dump()

    def views(self, default: int) -> int:
        """Return the number of augmented views: the setting `views`, or `default` if it is not set."""
        return default if self.data.views is None else self.data.views

    def digest_text(self) -> str:
        """Return a text that is different for different settings."""
        return json.dumps(self.flat(), sort_keys=True)


def flat_fields() -> dict[str, FieldInfo]:
    """Return pydantic's field of each setting by flat name, in the order of the topics."""
    return {name: field for name, _, _, field in _places()}


def _places() -> Iterator[tuple[str, str, str, FieldInfo]]:
    """Yield the flat name, topic ('' for none), name within the topic, and pydantic's field of each setting."""
    for name, field in Settings.model_fields.items():
        topic = field.annotation
        if isinstance(topic, type) and issubclass(topic, Validated):
            for own, inner in topic.model_fields.items():
                yield (name if own == "name" else own), name, own, inner
        else:
            yield name, "", name, field


def _place(name: str) -> tuple[str, str]:
    """Return the topic ('' for none) of a flat name, and the name in it. Raises SettingsError for an unknown name."""
    places = {flat: (topic, own) for flat, topic, own, _ in _places()}
    if name in places:
        return places[name]
    near = get_close_matches(name, places, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(places)}"
    raise SettingsError(f"there is no setting {name!r}; {hint}")


def _by_flat_name(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the flat names and values of a mapping that may contain topics.

    Raises SettingsError if the value of a topic is not a mapping, or a setting is in a wrong topic.
    """
    topics = {topic for _, topic, _, _ in _places() if topic}
    for name, value in values.items():
        if name in topics and (isinstance(value, Mapping) or name != "model"):
            if not isinstance(value, Mapping):
                raise SettingsError(f"{name} must be a mapping of settings, but is {value!r}")
            owned = {own: flat for flat, topic, own, _ in _places() if topic == name}
            for own, inner in value.items():
                if own not in owned and own in flat_fields():
                    raise SettingsError(f"the setting {own} does not belong to the topic {name}")
                yield owned.get(str(own), str(own)), inner
        else:
            yield name, value


def sentence(error: ValidationError) -> str:
    """Return the first error of pydantic as a sentence: the setting, the expected value, and the given value."""
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    name = place[-1] if place else "the settings"
    if error.title == ModelSettings.__name__ and name == "name":
        name = "model"
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"there is no {'.'.join(place)}"
    if first["type"] == "value_error":  # raised by a check in this package
        return str(first["ctx"]["error"])
    if first["type"].startswith("missing"):
        return f"{'.'.join(place)} is missing"
    context = {key: value.replace("'", "") if isinstance(value, str) else value for key, value in
               first.get("ctx", {}).items()}  # fmt: skip
    expected = _EXPECTED.get(first["type"])
    if expected is None:
        return f"{name}: {first['msg']}, but found {first['input']!r}"
    return f"{name} must be {expected.format(**context)}, but is {first['input']!r}"
