"""The journal of a study: what is written here has happened, everything else is brought up to date from it.

A text file of records, one a line: a checksum in eight hexadecimal digits, a space, JSON. The checksum is a
CRC-32 that goes on from that of the line before, so a line that is missing or out of its place is noticed
like one that was altered; in journals of earlier versions each stands for itself. An append is one write and
one fsync. A write that was cut short leaves a last line that fails its checksum; opening the journal cuts it
off. A line that stands there twice is read once. One that fails anywhere else was damaged later, and is
refused rather than guessed at.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.core.errors import BusyError, StoreError
from workbench.core.files import private_folder

if TYPE_CHECKING:
    from filelock import BaseFileLock


Record = dict[str, Any]


class _Parsed(NamedTuple):
    """What a journal holds."""

    records: list[Record]
    whole: int  # bytes, without a last line that was cut short
    checksum: int  # of the last record, from which the next one's goes on


class Journal:
    """An open journal.

    One process at a time writes it; the lock is the operating system's and dies with the process.
    """

    def __init__(self, path: Path) -> None:
        """Open or create `path`, repair its tail.

        Raises StoreError if the file cannot be written, is damaged, or belongs to a living process.
        """
        self.path = path
        try:
            private_folder(path.parent)
            self._lock = _locked(path)
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            self._file = path.open("a+b", buffering=0)
            try:
                self.records, whole, self._checksum = _parse(path)
                self._file.truncate(whole)
            except BaseException:
                self._file.close()
                raise
        except StoreError:
            self._lock.release()
            raise
        except OSError as error:
            self._lock.release()
            raise _unwritable(path, error) from error

    def append(self, records: Iterable[Mapping[str, Any]], *, kept: bool = True) -> None:
        """Make records durable, all of them or none.

        kept  whether they are among `records` from now on; of 100,000 trials they are half a gigabyte

        Raises StoreError if the disk is full; nothing is half-written.
        """
        new, lines, checksum = [dict(record) for record in records], b"", self._checksum
        for record in new:
            line, checksum = _line(record, checksum)
            lines += line
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
        self._checksum = checksum
        if kept:
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
        self._lock.release()


def read(path: Path) -> list[Record]:
    """The whole records of a journal, without opening it for writing; [] if there is none."""
    try:
        return _parse(path).records if path.exists() else []
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); see to its permissions") from error


def held(path: Path) -> bool:
    """Whether a living process has a journal open."""
    if not path.with_name(f"{path.name}.lock").exists():
        return False
    try:
        _locked(path).release()
    except BusyError:
        return True
    except OSError:  # of a home that may only be read, in which nobody writes
        return False
    return False


def first(path: Path) -> Record | None:
    """The record that a journal begins with, without reading the rest; None if there is none."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        line = file.readline()
        if line.endswith(b"\n") and line[:9] == b"%08x " % zlib.crc32(line[9:-1]):
            return dict(json.loads(line[9:]))
    return None


def _line(record: Mapping[str, Any], before: int) -> tuple[bytes, int]:
    """A record after a line of the checksum `before`, and its own checksum."""
    body = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
    checksum = zlib.crc32(body, before)
    return b"%08x %s\n" % (checksum, body), checksum


def _parse(path: Path) -> _Parsed:
    content = path.read_bytes()
    records: list[Record] = []
    seen: set[bytes] = set()
    whole = number = checksum = 0
    alone = True  # so far every checksum stands for itself, as those of earlier versions do
    while whole < len(content):
        end, number = content.find(b"\n", whole), number + 1
        line = content[whole : end if end >= 0 else len(content)]
        if end < 0 or line not in seen:  # no two lines that were written are the same
            said = zlib.crc32(line[9:], checksum)
            follows = line[:9] == b"%08x " % said
            if not follows and alone:
                said = zlib.crc32(line[9:])
            if end < 0 or line[:9] != b"%08x " % said:
                if 0 <= end < len(content) - 1:
                    raise StoreError(
                        f"{path}: line {number} is damaged or does not follow the one before; restore the "
                        "file from a copy, cut it off before that line, or remove it, to search again from "
                        "there (the ledger keeps its openings)"
                    )
                break
            alone = alone and (not records or not follows)
            checksum = said
            records.append(json.loads(line[9:]))
            seen.add(line)
        whole = end + 1
    return _Parsed(records, whole, checksum)


def _locked(path: Path) -> BaseFileLock:
    """An exclusive lock beside the journal, which the operating system takes back when the process ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f"{path.name}.lock"), timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise BusyError(f"{path}: another process is running this study; wait for it, or stop it") from error
    return lock


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: cannot be written ({error.strerror}); free the disk or choose another --home")
