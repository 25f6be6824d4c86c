"""Every setting of a run in one frozen record, with its meaning below it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Literal

from srrs.errors import SettingsError

_CHOICES = {
    "context": ("class", "shared"),
    "class_position": ("end", "middle", "front"),
    "match_by": ("itm", "itc"),
}
_LEAST = {"views": 0, "random_context": 0, "prompts": 1, "steps": 0, "batch": 1, "views_per_step": 1, "seed": 0}
_KINDS: dict[type, str] = {str: "a text", int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Settings:
    """How to tune and audit. The defaults are one setting for every data set and every noise rate."""

    model: str = "openai/clip-vit-base-patch32"
    """Hub name or path of a dual encoder, `open_clip:ARCHITECTURE/PRETRAINED`, `bundled`, or `none` for embeddings
    without a model."""
    matcher: str = "auto"
    """auto, none, or hub name or path of an image-text matcher."""
    method: str = "srrs"
    """A method of the zoo, its parts perhaps replaced: see `srrs.methods.spec`."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    precision: str = "auto"
    """auto, fp32, bf16 or fp16."""
    context: Literal["class", "shared"] = "class"
    """Whether every class has its own context or all share one."""
    words: str = "a photo of a"
    """Initial words of the context."""
    random_context: int = 0
    """Above 0: that many random context vectors instead of the words (CoOp's 16)."""
    prompts: int = 1
    """Prompts per class."""
    class_position: Literal["end", "middle", "front"] = "end"
    """Where the class name stands in the prompt."""
    match_by: Literal["itm", "itc"] = "itm"
    """Whether the matcher's matching head scores a picture and a label, or their contrastive similarity."""
    views: int = 8
    """Augmented views of each image."""
    steps: int = 60
    """Text passes of each learner."""
    batch: int = 512
    """Samples per step."""
    views_per_step: int = 4
    """Views of each sample per step."""
    learning_rate: float = 0.4
    """Of plain gradient descent with momentum 0.9, annealed by a cosine."""
    seed: int = 1
    """Of every random draw."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
                raise SettingsError(f"{field.name} must be {_KINDS[kind]}, but is {value!r}")
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise SettingsError(f"{name} must be at least {least}, but is {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise SettingsError(f"learning_rate must be above 0, but is {self.learning_rate}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise SettingsError(f"{name} must be {' or '.join(choices)}, but is {getattr(self, name)!r}")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Settings":
        """Settings from a mapping.

        Raises SettingsError for a name that is no setting, with the nearest one.
        """
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
                raise SettingsError(f"there is no setting {name!r}{hint}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def with_(self, **changes: Any) -> "Settings":
        """The same with some changed."""
        return replace(self, **changes)

    def digest_text(self) -> str:
        """A text that changes with any setting."""
        return json.dumps(self.to_dict(), sort_keys=True)
