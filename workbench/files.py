"""Writing a file so that whoever reads it finds the old one or the new one, and never a part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["replaced", "write_text"]


@contextmanager
def replaced(path: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """A file to write, which takes the place of `path` in one step when the block ends, and not if it raises.

    durable  survive a power cut as well, which costs a wait for the disk
    """
    draft = path.with_name(f"{path.name}.partial")
    with draft.open("wb") as file:
        yield file
        if durable:
            file.flush()
            os.fsync(file.fileno())
    draft.replace(path)


def write_text(path: Path, text: str) -> None:
    """Replace a file of text in one step, durably."""
    with replaced(path) as file:
        file.write(text.encode())
