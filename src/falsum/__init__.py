"""falsum: knowledge-graph completion that learns from what is false.

import falsum

graph = falsum.load("world")
run = falsum.train(graph, "default", folder="runs/world")
run.evaluate("test").metrics()
run.predict(head="Switzerland", relation="uses_currency")
"""

import os
from typing import TYPE_CHECKING

from falsum.deferred import deferred

if TYPE_CHECKING:
    from falsum.api import compare, negatives, resume, train
    from falsum.api import open_run as open
    from falsum.errors import UserError
    from falsum.graph import Graph, load
    from falsum.recipe.settings import Recipe
    from falsum.run.run import Run

# Idle threads of torch sleep instead of spinning. One other busy process made training on all cores 100 times slower:
# spinning threads use up the time that the scheduler owes to the ones with work. Read when torch loads, so set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

__all__ = ["Graph", "Recipe", "Run", "UserError", "compare", "load", "negatives", "open", "resume", "train"]

__getattr__ = deferred(
    __name__,
    {
        "Graph": "falsum.graph:Graph",
        "Recipe": "falsum.recipe.settings:Recipe",
        "Run": "falsum.run.run:Run",
        "UserError": "falsum.errors:UserError",
        "compare": "falsum.api:compare",
        "load": "falsum.graph:load",
        "negatives": "falsum.api:negatives",
        "open": "falsum.api:open_run",
        "resume": "falsum.api:resume",
        "train": "falsum.api:train",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
