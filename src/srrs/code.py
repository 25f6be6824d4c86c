"""A digest of the code on which the results of runs depend."""

import ast
import hashlib
from functools import lru_cache
from pathlib import Path

ELSEWHERE = {
    "__init__", "__main__", "assets", "audit", "checksum", "cli", "code", "console", "demo", "estimator", "export",
    "io", "lock", "predictions",
}  # fmt: skip
"""Parts of the package on which results do not depend. The benchmark is also such a part, except `IN_BENCH`."""
IN_BENCH = {"feature_cache", "grid", "jobs", "run"}
"""Modules of the benchmark on which results depend."""


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Return 12 hex digits that change with the code of the package, but not with comments and docstrings."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[0] in ELSEWHERE or (parts[0] == "bench" and parts[-1] not in IN_BENCH):
            continue
        digest.update("/".join(parts).encode() + b"\0" + meaning(path.read_bytes()).encode())
    return digest.hexdigest()[:12]


def meaning(source: bytes) -> str:
    """Return the syntax tree of a module without its docstrings, as text."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [each for each in body if not _is_text(each)]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
    """Return whether a statement is a string, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
