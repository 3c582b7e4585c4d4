"""The journal of a study: what is written here has happened, everything else is brought up to date from it.

A text file of records, one a line: a CRC-32 of the rest in eight hexadecimal digits, a space, JSON. An
append is one write and one fsync. A write that was cut short leaves a last line that fails its checksum;
opening the journal cuts it off. A line that fails anywhere else was damaged later, and is refused rather
than guessed at.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.errors import BusyError, StoreError

__all__ = ["Spool", "first", "read"]

Record = dict[str, Any]


class Spool:
    """An open journal.

    One process at a time writes it; the lock is the operating system's and dies with the process.
    """

    def __init__(self, path: Path) -> None:
        """Open or create `path`, repair its tail.

        Raises StoreError if the file cannot be written, is damaged, or belongs to a living process.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            _lock(self._file.fileno(), path)
            self.records, whole = _parse(path)
            self._file.truncate(whole)
        except StoreError:
            self._file.close()
            raise
        except OSError as error:
            self._file.close()
            raise _unwritable(path, error) from error

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Make records durable, all of them or none.

        Raises StoreError if the disk is full; nothing is half-written.
        """
        new = [dict(record) for record in records]
        lines = b"".join(_line(record) for record in new)
        end = self._file.seek(0, os.SEEK_END)
        try:
            left = memoryview(lines)
            while left:
                left = left[self._file.write(left) or 0 :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(end)
            raise StoreError(
                f"{self.path}: cannot be written ({error.strerror}); free the disk and run the study again, "
                "it goes on from its last finished rung"
            ) from error
        self.records.extend(new)

    def of_kind(self, kind: str) -> Iterator[Record]:
        """The records of a kind, in the order in which they were written."""
        return (record for record in self.records if record["kind"] == kind)

    @property
    def closed(self) -> bool:
        """Whether the lock was given back."""
        return self._file.closed

    def close(self) -> None:
        """Give the lock back."""
        self._file.close()


def read(path: Path) -> list[Record]:
    """The whole records of a journal, without opening it for writing; [] if there is none."""
    return _parse(path)[0] if path.exists() else []


def first(path: Path) -> Record | None:
    """The record that a journal begins with, without reading the rest; None if there is none."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        line = file.readline()
        if line.endswith(b"\n") and _intact(line[:-1]):
            return dict(json.loads(line[9:]))
    return None


def _line(record: Mapping[str, Any]) -> bytes:
    body = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _parse(path: Path) -> tuple[list[Record], int]:
    """The records, and how many bytes of the file are whole."""
    content = path.read_bytes()
    records: list[Record] = []
    whole = 0
    while whole < len(content):
        end = content.find(b"\n", whole)
        line = content[whole : end if end >= 0 else len(content)]
        if end < 0 or not _intact(line):
            if 0 <= end < len(content) - 1:
                raise StoreError(
                    f"{path}: line {len(records) + 1} is damaged; restore the file from a copy, or remove "
                    "it to search again (the ledger keeps its openings)"
                )
            break
        records.append(json.loads(line[9:]))
        whole = end + 1
    return records, whole


def _intact(line: bytes) -> bool:
    return line[:9] == b"%08x " % zlib.crc32(line[9:])


def _lock(descriptor: int, path: Path) -> None:
    """An exclusive lock that the operating system takes back when the process ends, however it ends."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BusyError(f"{path}: another process is running this study; wait for it, or stop it") from error


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: cannot be written ({error.strerror}); free the disk or choose another --home")
