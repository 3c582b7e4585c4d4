"""Writing a file so that whoever reads it finds the old one or the new one, and never a part."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

if TYPE_CHECKING:
    import numpy as np


#: What zipfile and NumPy raise for an archive of which bytes were altered.
_DAMAGE = (
    BadZipFile,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    struct.error,
)

#: Seconds that a file may be held open by whoever reads it, where a system does not let it be replaced then.
_HELD = 2.0 if os.name == "nt" else 0.0
_PAUSE = 0.02


@contextmanager
def replaced(path: Path, *, durable: bool = True, private: bool = False) -> Iterator[IO[bytes]]:
    """A file to write, which takes the place of `path` in one step when the block ends, and not if it raises.

    durable  survive a power cut as well, which costs a wait for the disk
    private  nobody but its owner may read it, whatever the umask says
    """
    draft = path.with_name(f"{path.name}.partial")
    if private:
        draft.unlink(missing_ok=True)  # one that was left over may be open to others
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(draft, flags, 0o600 if private else 0o666), "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except OSError:  # a full disk: what was begun takes room and is of no use
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    _put(draft, path)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Replace a file of text in one step, durably."""
    with replaced(path, private=private) as file:
        file.write(text.encode())


def write_record(path: Path, document: Mapping[str, Any]) -> None:
    """Replace a private file of JSON that begins with a digest of what it says."""
    body = json.dumps(document)
    write_text(path, json.dumps({"digest": _digest(body), **document}), private=True)


def read_record(path: Path) -> tuple[dict[str, Any], bool]:
    """What `write_record` wrote, and whether it has a digest, as files of earlier versions have not.

    Raises ValueError for a file that was changed since, FileNotFoundError where there is none.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError(f"{path}: holds no record")
    digest = document.pop("digest", None)
    if digest not in (None, _digest(json.dumps(document))):
        raise ValueError(f"{path}: was changed since it was written")
    return document, digest is not None


def read_remembered(path: Path | None) -> dict[str, Any]:
    """An object of JSON on which nothing depends: what is not there, torn or something else is empty."""
    if path is None:
        return {}
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read_arrays(path: Path, *names: str) -> dict[str, np.ndarray] | None:
    """The arrays of an .npz file, `names` among them; None where it is damaged.

    Raises FileNotFoundError where there is none.
    """
    import numpy as np

    content = io.BytesIO(path.read_bytes())
    try:
        with ZipFile(content) as archive:
            if archive.testzip() is not None:  # else NumPy would believe a header before it has read the rest
                return None
        content.seek(0)
        with np.load(content, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
            return found if set(names) <= set(found) else None
    except _DAMAGE:
        return None


def private_folder(path: Path) -> None:
    """Make a folder, unless it is there, that nobody but its owner may enter."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)


def _put(draft: Path, path: Path) -> None:
    """Windows refuses to replace a file that somebody reads: wait for them, but not for ever."""
    until = time.monotonic() + _HELD
    while True:
        try:
            draft.replace(path)
            return
        except PermissionError:
            if time.monotonic() >= until:
                raise
            time.sleep(_PAUSE)
