"""The rules that `srrs.screening` offers."""

import subprocess
import sys

import pytest

from srrs import screening


@pytest.mark.parametrize("name", screening.__all__)
def test_every_rule_is_a_function_of_the_package_with_a_docstring(name: str) -> None:
    rule = getattr(screening, name)
    assert callable(rule)
    assert rule.__name__ == name
    assert rule.__doc__
    assert name in dir(screening)


def test_a_rule_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'gmm_band'"):
        screening.gmm_band  # noqa: B018


def test_importing_the_package_alone_imports_nothing_slow() -> None:
    code = "import sys, srrs.screening; print(sorted({'torch', 'sklearn', 'scipy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
