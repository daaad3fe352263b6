"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from polars.exceptions import PolarsError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from falsum.errors import UserError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, moved onto it when the block ends well; otherwise `path` stays as it was.

    Raises UserError when the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, SafetensorError, PolarsError) as error:
        why = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise UserError(
            f"{path} could not be written: {why}. What was there before is untouched. Free space or choose another "
            "folder, then try again; a run that has begun goes on with `falsum resume`."
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the system lets go of it however the process ends.

    Raises UserError while another holds it. Does nothing where folders cannot be locked (Windows, some network disks).
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"Another process is training in {folder}. Stop it first, or choose another folder."
                ) from None
        yield
    finally:
        os.close(handle)


def remove_parts(folder: Path) -> None:
    """Delete what a killed `whole` left in a folder. Nobody else may be writing there."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Raises UserError when the file is missing, unreadable or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: {path.parent} is no complete run folder.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}). Restore it from a copy, or train again.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Tensors and a JSON-able mapping in one safetensors file."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with whole(path) as temporary:
        save_file(plain, temporary, metadata={"falsum": json.dumps(about)})


def read_tensors(path: Path, remedy: str = "Restore it from a copy.") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Inverse of `write_tensors`. remedy: the sentence that tells what to do about a file that cannot be read.

    Raises UserError when the file is missing, truncated or foreign.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["falsum"])
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. {remedy}") from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise UserError(
            f"{path} cannot be read: it is truncated or not written by falsum ({error}). {remedy}"
        ) from None
