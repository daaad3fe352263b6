"""The command line. `commands` says what may be typed and is light; what a command does is imported when it runs."""

from typing import TYPE_CHECKING

from falsum.deferred import deferred

if TYPE_CHECKING:
    from falsum.cli import comparison, graphs, probe, program, runs, studies, theory

__all__ = ["comparison", "graphs", "probe", "program", "runs", "studies", "theory"]

__getattr__ = deferred(__name__, {name: f"{__name__}.{name}" for name in __all__})
