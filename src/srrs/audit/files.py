"""Kept for modules that still import `write_atomic` from here; it is in `srrs.io`."""

from srrs.io import write_atomic

__all__ = ["write_atomic"]
