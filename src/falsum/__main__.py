"""The command line: runs a command, and turns what the user can mend into one paragraph."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn

from rich.text import Text
from torch import OutOfMemoryError

from falsum.cli import app, err
from falsum.errors import UserError
from falsum.run.run import Interrupted


def main() -> None:
    """Run the command line; errors that the user can mend end with one paragraph and exit code 2."""
    try:
        app()
    except Interrupted as stop:
        err.print(str(stop), markup=False)
        sys.exit(130)
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'Standard output'}: {error.strerror or error}.")
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        _fail("There is not enough memory. Lower model.dim, train.batch_size or noise.num, or free some.")


def _fail(message: str) -> NoReturn:
    err.print(Text.assemble(("Error:", "bold red"), " ", message))
    with suppress(OSError):
        sys.stdout.flush()
        sys.exit(2)
    os._exit(2)  # a full disk behind stdout: Python would fail again when it flushes at its end


if __name__ == "__main__":
    main()
