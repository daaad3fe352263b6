"""The shape of the package: imports go one way, one file prints, nothing unpickles, files and functions stay small."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import falsum

ROOT = Path(falsum.__file__).parent

# Each layer imports from itself and from those before it.
LAYERS = (
    {"errors", "seeds", "deferred"},
    {"curves"},
    {"files"},
    {"graph"},
    {"rows"},
    {"kernels"},
    {"models"},
    {"noise"},
    {"mutations"},
    {"objectives"},
    {"scan"},
    {"evaluation"},
    {"training"},
    {"predict"},
    {"recipe"},
    {"recipes"},
    {"run"},
    {"theory"},
    {"report"},
    {"comparison", "probe", "reproduce"},
    {"api"},
    {"__init__"},
    {"cli"},
    {"__main__"},
)
# Only what an extra installs or one system has may be imported inside a function.
LAZY = {"matplotlib", "jinja2", "markupsafe", "fcntl"}
# What may import by name: the one module that defers what starts slowly, and the question whether an extra is there.
BY_NAME = {"deferred", "report/page"}
# What is imported before it is known which command runs, and so may import only these: help answers at once.
LIGHT = {"__init__", "__main__", "deferred", "errors"} | {
    f"cli/{name}" for name in ("__init__", "commands", "interrupts", "program", "terminal")
}
LIGHT_PACKAGES = set(sys.stdlib_module_names) | {"typer", "rich"}

Sources = dict[str, str]


def sources() -> Sources:
    """Path within the package, without suffix -> text."""
    paths = sorted(ROOT.rglob("*.py"))
    return {path.relative_to(ROOT).with_suffix("").as_posix(): path.read_text(encoding="utf-8") for path in paths}


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import; `from falsum import x` imports falsum.x where that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "falsum":
            for alias in node.names:
                is_module = (ROOT / alias.name).is_dir() or (ROOT / f"{alias.name}.py").exists()
                yield node.lineno, f"falsum.{alias.name}" if is_module else "falsum.errors"
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, f"{'.' * node.level}{node.module or ''}"


def layer(part: str) -> int:
    return next((i for i, layer in enumerate(LAYERS) if part in layer), -1)


def backward_imports(files: Sources) -> list[str]:
    found = []
    for name, text in files.items():
        own = layer(name.split("/")[0])
        if own < 0:
            found.append(f"{name} is in no layer")
        for line, module in imported(ast.parse(text)):
            if module.startswith("."):
                found.append(f"{name}:{line} imports relatively")
            if module.startswith("falsum.") and layer(module.split(".")[1]) > own:
                found.append(f"{name}:{line} imports {module}")
    return found


def lazy_imports(files: Sources) -> list[str]:
    found = []
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                for line, module in imported(node):
                    if not any(module == lazy or module.startswith(f"{lazy}.") for lazy in LAZY):
                        found.append(f"{name}:{line} imports {module} in a function")
    return found


def heavy_imports(files: Sources) -> list[str]:
    """Imports of light modules that are not light, but for those that only type checkers follow."""
    found = []
    for name in LIGHT & files.keys():
        tree = ast.parse(files[name])
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = []
        for line, module in imported(tree):
            inner = module.replace(".", "/").removeprefix("falsum/")
            own = module == "falsum" or inner in LIGHT or f"{inner}/__init__" in LIGHT
            if not own and module.split(".")[0] not in LIGHT_PACKAGES:
                found.append(f"{name}:{line} imports {module}")
    return found


def forbidden_calls(files: Sources) -> list[str]:
    """print outside the command line, hasattr, eval and exec, imports by name, and whatever unpickles."""
    found = []
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call):
                call = ast.unparse(node.func)
                prints = call in ("print", "sys.stdout.write") and not name.startswith("cli/")
                loads = call in ("torch.load", "torch.save", "np.load", "pl.read_pickle")
                by_name = call.endswith(("import_module", "__import__")) and name not in BY_NAME
                if prints or loads or by_name or call in ("hasattr", "eval", "exec"):
                    found.append(f"{name}:{node.lineno} calls {call}")
        for line, module in imported(ast.parse(text)):
            if module.split(".")[0] in ("pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"):
                found.append(f"{name}:{line} imports {module}")
    return found


def vague_names(files: Sources) -> list[str]:
    """Modules called after nothing. base.py holds the interface of a family, inside its package."""
    vague = {"util", "utils", "common", "misc", "helper", "helpers", "tools", "core", "shared"}
    return [name for name in files if vague & set(name.split("/")) or name == "base"]


def large(files: Sources) -> list[str]:
    """Files past 400 lines of text, functions past 60 lines."""
    found = [name for name, text in files.items() if sum(bool(line.strip()) for line in text.splitlines()) > 400]
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60:
                found.append(f"{name}:{node.lineno} {node.name}")
    return found


def undocumented(files: Sources) -> list[str]:
    """Modules, public classes, and public functions that do not fit a glance, without a docstring."""
    found = []
    for name, text in files.items():
        tree = ast.parse(text)
        if text.strip() and not ast.get_docstring(tree):
            found.append(name)
        for node in tree.body:
            long = isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 16
            public = isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
            if public and (long or isinstance(node, ast.ClassDef)) and not ast.get_docstring(node):
                found.append(f"{name}:{node.lineno} {node.name}")
    return found


CHECKS = (backward_imports, lazy_imports, heavy_imports, forbidden_calls, vague_names, large, undocumented)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_package_keeps_its_shape(check) -> None:  # type: ignore[no-untyped-def]
    assert check(sources()) == []


LONG = '"""."""\ndef f():\n    """."""\n' + "    x = 1\n" * 60
OFFENCES = [
    (backward_imports, {"scan": '"""."""\nfrom falsum.evaluation.ranks import rank'}),
    (backward_imports, {"graph/graph": '"""."""\nfrom falsum import run'}),
    (backward_imports, {"rows/table": '"""."""\ndef f():\n    import falsum.models.base'}),
    (backward_imports, {"rows/table": '"""."""\nfrom . import seeds'}),
    (backward_imports, {"novelty": '"""."""'}),
    (lazy_imports, {"train": '"""."""\ndef f():\n    import time'}),
    (heavy_imports, {"cli/commands": '"""."""\nimport polars'}),
    (heavy_imports, {"cli/program": '"""."""\nfrom falsum.cli.runs import train'}),
    (heavy_imports, {"__init__": '"""."""\nif TYPE_CHECKING:\n    import torch\nfrom falsum.api import train'}),
    (forbidden_calls, {"cli/commands": "importlib.import_module('torch')"}),
    (forbidden_calls, {"train": "print(1)"}),
    (forbidden_calls, {"train": "x = hasattr(1, 'real')"}),
    (forbidden_calls, {"run": "x = torch.load('x')"}),
    (forbidden_calls, {"run": "from pickle import loads"}),
    (vague_names, {"graph/utils": ""}),
    (vague_names, {"base": ""}),
    (large, {"scan": LONG}),
    (large, {"scan": "x = 1\n" * 401}),
    (undocumented, {"scan": "x = 1"}),
    (undocumented, {"scan": '"""."""\nclass A:\n    x = 1'}),
    (undocumented, {"scan": LONG.replace('    """."""\n', "")}),
]


@pytest.mark.parametrize(("check", "files"), OFFENCES)
def test_every_check_can_fail(check, files: Sources) -> None:  # type: ignore[no-untyped-def]
    assert len(check(files)) == 1


def test_layers_name_what_is_there() -> None:
    parts = {name.split("/")[0] for name in sources()}
    assert set().union(*LAYERS) == parts
