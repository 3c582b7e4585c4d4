"""The content of the files that a study names, as a fingerprint that is known at once while nothing moves.

A file is hashed as a stream of bytes. What came out is noted under the home, beside what the system says of
the file: size, times, inode. As long as that stays, the bytes are not read again. The time of the last change
to the inode is among it, which no copying or unpacking sets back, so an edit that keeps size and date is
seen. A file that was changed within the last moments is hashed every time: a second change in the same tick
of the clock would leave no trace.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from workbench.core.errors import DataError
from workbench.core.types import DataSpec

#: Seconds after a change in which another one could look the same: twice the coarsest clock of a file system.
RECENT = 4.0


class Contents(NamedTuple):
    """What is in the files of a study; of built-in sets and OpenML, which have their names, nothing.

    digests  SHA-256 of each file, by the name that the study has for it
    missing  why a file cannot be read that is known from before
    """

    digests: dict[str, str]
    missing: DataError | None = None


def contents(spec: DataSpec, notes: Path | None = None, *, keep: bool = True) -> Contents:
    """The fingerprints of the files that a `[data]` table names.

    notes  the folder of what was found before; `keep`: what is found is noted there, where that is possible

    Raises DataError for a file that cannot be read and was not known before.
    """
    digests: dict[str, str] = {}
    missing: DataError | None = None
    for key, name in (("source", spec.source), ("test", spec.test)):
        if name is None or name.startswith("openml:") or not Path(name).suffix:
            continue
        path = (spec.folder / name).absolute()
        note = None if notes is None else notes / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.json"
        known = None if note is None else _read(note)
        try:
            digests[name] = _digest(path, known, note if keep else None)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            missing = missing or _missing(key, name, spec.folder, error)
            if known is None:
                raise missing from error
            digests[name] = known["digest"]
    return Contents(digests, missing)


def _digest(path: Path, known: dict[str, Any] | None, note: Path | None) -> str:
    """SHA-256 of a file: the one that is known if nothing moved since, else of its bytes."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, "no regular file", str(path))
    if known is not None and known["stamp"] == _stamp(found):
        return str(known["digest"])
    with path.open("rb") as file:
        began, opened = time.time(), os.fstat(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        moved = _stamp(os.fstat(file.fileno())) != _stamp(opened)
    recent = opened.st_ctime > began - RECENT
    made = {"path": str(path), "digest": digest, "stamp": None if moved or recent else _stamp(opened)}
    if note is not None and made != known:
        _write(note, made)
    return digest


def _stamp(found: os.stat_result) -> list[int]:
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]


def _read(note: Path) -> dict[str, Any] | None:
    """What was noted; a note that is not there or not whole is none, and the file is hashed again."""
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) and {"digest", "stamp"} <= known.keys() else None


def _write(note: Path, made: dict[str, Any]) -> None:
    """Replace a note in one step, in a home that is there; where that fails, the file is hashed again."""
    if not note.parent.parent.is_dir():
        return
    draft = note.with_name(f"{note.name}.{uuid.uuid4().hex}")  # several processes may be at it
    with suppress(OSError):
        note.parent.mkdir(exist_ok=True)
        draft.write_text(json.dumps(made), encoding="utf-8")
        draft.replace(note)


def _missing(key: str, name: str, folder: Path, error: OSError | ValueError) -> DataError:
    from workbench.data.sources import find

    try:
        find(name, key, folder)
    except DataError as sentence:
        return sentence
    reason = getattr(error, "strerror", None) or error
    return DataError(f"{name}: cannot be read ({reason}); check the file")
