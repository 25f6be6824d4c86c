"""The training loop. The package itself is callable: `srrs.train(...)` is `srrs.train.loop.train(...)`."""

import inspect
import sys
from types import ModuleType
from typing import Any


class _Train(ModuleType):
    """The function under the name of its package, so that `from srrs import train` gives both."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Tune over a frozen model; see `srrs.train.loop.train`."""
        from srrs.train.loop import train

        return train(*arguments, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        from srrs.train.loop import train

        return inspect.signature(train)


sys.modules[__name__].__class__ = _Train
