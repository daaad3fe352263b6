"""Runs a command, and turns what the user can mend into one paragraph."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import NoReturn

from rich.text import Text

from falsum.cli.commands import app
from falsum.cli.interrupts import EXIT_CODE, LINE
from falsum.cli.terminal import err, say, visible
from falsum.errors import Interrupted, UserError


def run() -> None:
    """Run what sys.argv says. Always ends in SystemExit: 0, 2 for what the user can mend, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a label that the terminal's encoding has no letters for
    try:
        for place, argument in enumerate(sys.argv[1:], start=1):
            _check(place, argument)
        app()
    except SystemExit as end:
        if end.code == EXIT_CODE:
            say(LINE, err)
        raise
    except KeyboardInterrupt:
        say(LINE, err)
        sys.exit(EXIT_CODE)
    except Interrupted as stop:
        say(str(stop), err)
        sys.exit(EXIT_CODE)
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'Standard output'}: {error.strerror or error}.")
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not MEMORY.search(str(error)):
            raise
        _fail(_memory(str(error)))


def _check(place: int, argument: str) -> None:
    """Raises UserError for what neither a file of text nor a path can hold."""
    if "\0" in argument:
        raise UserError(f"Argument {place} ({argument!r}) holds a NUL character, which no path or label can.")
    try:
        argument.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"Argument {place} ({argument!r}) is not UTF-8 text, and falsum writes arguments into files of text. "
            "Rename the file, or set the terminal to UTF-8."
        ) from None


# How Python, numpy and torch, on the CPU and the GPU, say that there is not enough memory. torch's errors are
# RuntimeErrors; torch is not imported to ask for their class.
MEMORY = re.compile(
    r"t allocate memory|out of memory|(?:[Tt]ried|Unable) to allocate|Storage size calculation overflowed"
)
ASKED = re.compile(r"(?:[Tt]ried|Unable) to allocate (?P<number>[\d.]+) ?(?P<unit>\w+)|with sizes=\[(?P<sizes>.+?)\]")


def _memory(why: str) -> str:
    asked = ASKED.search(why)
    if asked is None:
        amount = ""
    elif asked["sizes"]:
        amount = f": a tensor of {asked['sizes'].replace(', ', ' x ')} numbers was asked for"
    else:
        amount = f": {_size(asked['number'], asked['unit'])} were asked for at once"
    return (
        f"There is not enough memory{amount}. Lower what sizes grow with (model.dim, train.batch_size, the numbers of "
        "noise), or free some."
    )


def _size(number: str, unit: str) -> str:
    """An amount of memory in a unit that fits it."""
    if unit != "bytes":
        return f"{number} {unit}"
    amount, units = float(number), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:.4g} {units[0]}"


def _fail(message: str) -> NoReturn:
    err.print(Text.assemble(("Error:", "bold red"), " ", visible(message)))
    with suppress(OSError):
        sys.stdout.flush()
        sys.exit(2)
    os._exit(2)  # a full disk behind stdout: Python would fail again when it flushes at its end
