"""Names that a module has from the start and imports when they are first read (PEP 562).

torch takes seconds to import. `import falsum`, `falsum --help` and a misspelt option do without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def deferred(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a module. homes: name -> "package.module", or "package.module:attribute" in it.

    This is the one place that imports by name. Type checkers read the same names under `if TYPE_CHECKING`.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, attribute = homes[name].partition(":")
        value = import_module(home)
        value = getattr(value, attribute) if attribute else value
        setattr(sys.modules[module], name, value)
        return value

    return find
