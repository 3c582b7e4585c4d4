"""Files: replaced in one step, for their owner alone where that is asked, noticed where they are damaged."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from workbench.core import files
from workbench.core.files import private_folder, read_arrays, replaced, write_text


def test_private_whatever_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    for private in (False, True):
        (tmp_path / "x.npz.partial").write_text("left over")
        write_text(path, "one", private=private)
        assert (path.stat().st_mode & 0o077 == 0) is private
    assert [file.name for file in tmp_path.iterdir()] == ["x.npz"]
    private_folder(tmp_path / "a" / "b")
    private_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_file_that_is_read_while_it_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, which refuses to replace a file that is open."""
    path, attempts, replace = tmp_path / "x", [], Path.replace

    def refuse(self: Path, target: Path) -> Path:
        attempts.append(self)
        if len(attempts) < 3:
            raise PermissionError(13, "Access is denied")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError):
        write_text(path, "one")
    monkeypatch.setattr(files, "_HELD", 5.0)
    write_text(path, "two")
    assert path.read_text() == "two"
    assert len(attempts) == 3


def test_an_archive_of_which_any_byte_was_altered(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with replaced(path) as file:
        np.savez(file, outputs=np.arange(5.0), targets=np.arange(5))
    whole = path.read_bytes()
    damaged = 0
    for position in range(len(whole)):
        for bit in (0, 3, 7):
            content = bytearray(whole)
            content[position] ^= 1 << bit
            path.write_bytes(content)
            found = read_arrays(path, "outputs", "targets")
            damaged += found is None
            if found is not None:  # a byte that says nothing, as of a time
                np.testing.assert_array_equal(found["outputs"], np.arange(5.0))
                np.testing.assert_array_equal(found["targets"], np.arange(5))
    assert damaged > len(whole)
    for end in range(0, len(whole), 5):
        path.write_bytes(whole[:end])
        assert read_arrays(path) is None
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_arrays(path)


def test_what_a_full_disk_breaks_off_is_not_left(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def full() -> None:
        with replaced(path) as file:
            file.write(b"new")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        full()
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"a.txt": "old"}
