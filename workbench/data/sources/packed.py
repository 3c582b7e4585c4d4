"""Data files in a .gz, or alone in a .zip."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from workbench.core.errors import DataError

PACKED = (".gz", ".zip")


def unpacked(path: Path, name: str) -> tuple[bytes, str]:
    """The content of the one file in a packed one, and its suffix. Raises DataError."""
    try:
        if path.suffix.lower() == ".gz":
            return gzip.decompress(path.read_bytes()), Path(path.stem).suffix.lower()
        with zipfile.ZipFile(path) as archive:
            members = [
                info for info in archive.infolist() if not info.is_dir() and not _beside(info.filename)
            ]
            if len(members) != 1:
                held = ", ".join(info.filename for info in members[:5]) + (", …" if len(members) > 5 else "")
                raise DataError(
                    f"{name}: holds {len(members)} files ({held}), and which one is meant cannot be told; "
                    "unpack it and name one"
                    if members
                    else f"{name}: holds no file; pack the data file alone"
                )
            return archive.read(members[0]), PurePosixPath(members[0].filename).suffix.lower()
    except (gzip.BadGzipFile, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DataError(f"{name}: cannot be unpacked ({error}); pack it anew") from error
    except (RuntimeError, NotImplementedError) as error:  # a password, or a method that Python lacks
        raise DataError(f"{name}: cannot be unpacked ({error}); name the unpacked file") from error


def _beside(member: str) -> bool:
    """What a system adds to an archive."""
    return member.startswith("__MACOSX/") or PurePosixPath(member).name.startswith(".")
