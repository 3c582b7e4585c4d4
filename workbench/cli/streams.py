"""Standard output under `--json`: one JSON object and nothing else, whatever other libraries print.

Chatter is diverted where it is written, at the file descriptor, so that C code and child processes are caught
too. And what a console cannot show is shown otherwise, so that no result is lost to an encoding.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from workbench.core.errors import WorkbenchError

#: What stands for characters that an encoding lacks; ? for all others.
_SHOWN = dict(zip("–—‘’“”·•●✓×²→▁▂▃▄▅▆▇█", "--''\"\"-**+x2>_.-~=+*#", strict=True)) | {"…": "...", "±": "+-"}


class Output(NamedTuple):
    """Where a command puts its result."""

    json: bool
    result: Callable[[Mapping[str, Any]], None]  # prints the object if json was asked for, else nothing


def showable() -> None:
    """From now on neither a stream that is closed nor a character that a console lacks ends a command.

    A closed descriptor (`>&-`) would be given to the next file that is opened, which whatever prints would
    then write into.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", closefd=False))
    codecs.register_error("workbench", _plainer)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="workbench")


@contextlib.contextmanager
def output(*, json: bool) -> Iterator[Output]:
    """The Output of one command; with `json`, standard output is kept for its result alone."""
    if not json:
        try:
            yield Output(False, lambda result: None)
        finally:
            with until_closed():
                sys.stdout.flush()
        return
    with _kept(sys.stdout) as stream:

        def result(value: Mapping[str, Any]) -> None:
            with until_closed(stream):
                stream.write(as_json(value) + "\n")
                stream.flush()

        yield Output(True, result)


def as_json(value: Mapping[str, Any]) -> str:
    """One line of strict JSON. NaN and infinity, which JSON does not know, become null."""
    return json.dumps(_plain(value), allow_nan=False, ensure_ascii=False)


@contextlib.contextmanager
def until_closed(stream: IO[str] | None = None) -> Iterator[None]:
    """A reader that has gone, as in `workbench ledger | head`, is no failure of the work.

    Raises WorkbenchError if the stream (standard output unless given) cannot be written, as on a full disk.
    """
    try:
        yield
    except BrokenPipeError:
        _drop(stream or sys.stdout)
    except OSError as error:
        _drop(stream or sys.stdout)
        raise WorkbenchError(
            f"standard output cannot be written ({error.strerror or error}); what was done is kept, and the "
            "same command prints it again"
        ) from error


def _drop(stream: IO[str]) -> None:
    # Python flushes it once more at exit; let that go nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_SHOWN.get(one, "?") for one in error.object[error.start : error.end]), error.end


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return _plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no place in a result")


@contextlib.contextmanager
def _kept(stdout: IO[str]) -> Iterator[IO[str]]:
    """A stream to the real standard output, while everything else written there goes to standard error."""
    try:
        descriptor, other = stdout.fileno(), sys.stderr.fileno()
    except (OSError, ValueError, io.UnsupportedOperation):  # replaced by something in memory
        with contextlib.redirect_stdout(sys.stderr):
            yield stdout
        return
    stdout.flush()
    copy = os.dup(descriptor)
    os.dup2(other, descriptor)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            # What UTF-8 lacks are bytes of a file's name; their escapes are JSON's.
            yield os.fdopen(copy, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    finally:
        stdout.flush()  # what is left in the buffer is chatter as well
        os.dup2(copy, descriptor)
        os.close(copy)
