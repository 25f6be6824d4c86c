"""The names of the package: few, lazy, and shown by `dir`."""

import subprocess
import sys

import pytest

import srrs


def test_dir_shows_the_interface_and_every_name_is_there() -> None:
    assert dir(srrs) == sorted([*srrs.__all__, "__version__"])
    assert all(getattr(srrs, name) is not None for name in srrs.__all__)
    with pytest.raises(AttributeError, match="module 'srrs' has no attribute 'nothing'"):
        srrs.nothing  # noqa: B018


def test_train_is_the_function_of_the_loop() -> None:
    from srrs.training.loop import train

    assert srrs.train is train


def test_importing_the_package_loads_nothing_else() -> None:
    script = "import sys, srrs; dir(srrs); assert not {'torch', 'numpy', 'pydantic', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
