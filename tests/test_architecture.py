"""The arrows of the design, read from the source: who may know whom, and what nobody may do."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import srrs

ROOT = Path(srrs.__file__).parent
MODULES = sorted(path for path in ROOT.rglob("*.py") if "assets" not in path.parts)
ANYTHING = {
    "array_audit",
    "cli",
    "estimator",
    "pipeline",
    "tuning",
    "demo",
    "console",
    "predictions",
    "__init__",
    "__main__",
}
KNOWS = {
    "errors": set(),
    "checksum": set(),
    "code": set(),
    "io": {"checksum", "errors"},
    "cache": {"errors"},
    "mapped": set(),
    "lock": {"errors"},
    "parallel": set(),
    "records": set(),
    "cluster": {"errors"},
    "core": set(),
    "config": {"errors"},
    "screening": {"core", "records"},
    "methods": {"core", "errors", "records", "screening"},
    "audit": {"core", "data", "errors", "lock", "records"},
    "export": {"audit", "data", "errors", "models", "records"},
    "models": {"core", "errors"},
    "data": {"cache", "cluster", "core", "errors", "records"},
    "prompts": {"errors"},
    "features": {"cache", "cluster", "core", "data", "errors", "models", "records"},
    "tuners": {"errors", "models", "prompts", "records"},
    "bench": {
        "audit", "cluster", "code", "config", "core", "data", "errors", "features", "methods", "models", "parallel",
        "pipeline", "records", "training", "tuning",
    },
    "training": {"core", "errors", "features", "methods", "records", "tuners"},
}  # fmt: skip
TRUTH = re.compile(r"(^|_)(truths?|gt|ground|true|actual|oracle)(_|$)|^clean_labels$|^y_")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def part(path: Path) -> str:
    """`core` for srrs/core/losses.py, `config` for srrs/config.py."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Full names of everything a module imports, at the top or inside functions."""
    package = ["srrs", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            lead = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*lead, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def dotted(node: ast.AST) -> str:
    """`torch.load` of the expression torch.load."""
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def public_functions(body: list[ast.stmt]) -> Iterator[Function]:
    for node in body:
        if isinstance(node, Function) and (not node.name.startswith("_") or node.name == "__init__"):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)


def arguments(function: Function | ast.Lambda) -> list[ast.arg]:
    a = function.args
    return [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]


def test_the_walk_sees_every_part() -> None:
    assert {part(path) for path in MODULES} <= ANYTHING | set(KNOWS)
    assert set(KNOWS) <= {part(path) for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_knows_only_what_lies_below_it(path: Path) -> None:
    home = part(path)
    if home in ANYTHING:
        return
    ours = [full.split(".") for full in imported(path) if full.split(".")[0] == "srrs"]
    known = {full[1] for full in ours if len(full) > 1} - {home}
    known -= {"io", "checksum", "mapped"}  # the ground floor, as `errors` is
    assert known <= KNOWS[home], f"{name(path)} imports {sorted(known - KNOWS[home])}"


@pytest.mark.parametrize("path", [p for p in MODULES if part(p) in ("methods", "training", "audit")], ids=name)
def test_no_signature_of_methods_train_and_audit_carries_the_truth(path: Path) -> None:
    named = [
        (argument.arg, argument.lineno)
        for node in ast.walk(tree(path))
        if isinstance(node, Function | ast.Lambda)
        for argument in arguments(node)
    ]
    named += [  # fields of a dataclass are parameters, too
        (field.target.id, field.lineno)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    ]
    assert not [(word, line) for word, line in named if TRUTH.search(word.lower())]


@pytest.mark.parametrize("word", ["truth", "true_labels", "ground_truth", "gt", "y_true", "labels_gt", "clean_labels"])
def test_the_pattern_finds_the_truth_under_its_usual_names(word: str) -> None:
    assert TRUTH.search(word)
    assert not any(TRUTH.search(fine) for fine in ("labels", "p_clean", "trust", "structure", "y", "weight", "given"))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_is_unpickled_or_printed(path: Path) -> None:
    modules = {full.split(".")[0] for full in imported(path)}
    assert not modules & {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "torchvision"}
    assert not {full for full in imported(path) if full in ("torch.load", "torch.save", "numpy.load")}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = dotted(node.func)
            assert called not in ("print", "torch.load", "torch.save", "eval", "exec"), (
                f"{called} in line {node.lineno}"
            )
            assert not [k for k in node.keywords if k.arg in ("allow_pickle", "trust_remote_code")], node.lineno


@pytest.mark.parametrize("path", [p for p in MODULES if part(p) not in ("io", "checksum", "lock")], ids=name)
def test_files_are_written_by_io_alone(path: Path) -> None:
    """There, a full disk is one sentence and a file is whole or not at all. `part` is what `io.atomic` gives."""
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
            continue
        called, receiver = dotted(node.func).split(".")[-1], dotted(node.func).rpartition(".")[0]
        modes = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        writes = (
            called == "open" and receiver != "part" and any(set(mode) & set("wx+") and len(mode) < 4 for mode in modes)
        )
        assert not writes, f"line {node.lineno}"
        assert called not in ("write_text", "write_bytes", "save_file"), f"line {node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_modules_say_what_they_are_and_public_functions_what_they_take(path: Path) -> None:
    module = tree(path)
    if not module.body:  # the empty marker of a package
        return
    assert ast.get_docstring(module), f"{name(path)} has no docstring"
    for function in public_functions(module.body):
        where = f"{name(path)}:{function.lineno} {function.name}"
        taken = [a.arg for a in arguments(function) if a.annotation is None and a.arg not in ("self", "cls")]
        assert not taken, f"{where} does not annotate {taken}"
        assert function.returns is not None or function.name == "__init__", f"{where} does not annotate its result"
