"""Published tables trained again: what they say, what a cell costs, and a ledger of what came out.

from pathlib import Path
from falsum.reproduce import EXPERIMENTS, Task, finish

cell = EXPERIMENTS["kamigaito2021"]().cell("kamigaito2021/wn18rr/complex/sce")
entry = finish(Task(cell, seed=0, runs=Path("runs")), Path("results/kamigaito2021.csv"))
"""

from falsum.reproduce.experiments import EXPERIMENTS, Cell, Experiment, PaperTable, experiment
from falsum.reproduce.ledger import Entry, append, read
from falsum.reproduce.plan import Task, tasks
from falsum.reproduce.runner import finish

__all__ = [
    "EXPERIMENTS",
    "Cell",
    "Entry",
    "Experiment",
    "PaperTable",
    "Task",
    "append",
    "experiment",
    "finish",
    "read",
    "tasks",
]
