"""Ctrl-C: one line and exit code 130, from the first line of falsum to the end of the process."""

from __future__ import annotations

import os
import signal
from types import FrameType

EXIT_CODE = 130
LINE = "Interrupted."


def catch() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, but while a module is imported it ends the process at once.

    Libraries do not expect exceptions while they are imported: numpy turns one into an endless recursion, others print
    it and go on. Nothing that would have to be put in order has begun by then.
    """
    signal.signal(signal.SIGINT, _interrupted)


def ignore() -> None:
    """From now on Ctrl-C does nothing: the command is over, and Python tears itself down."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupted(number: int, frame: FrameType | None) -> None:
    if _importing(frame):
        os.write(2, f"{LINE}\n".encode())
        os._exit(EXIT_CODE)
    raise KeyboardInterrupt


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False
