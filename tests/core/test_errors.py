"""What a system refuses becomes a sentence, also where a library made another error of it."""

from __future__ import annotations

import errno
import os

import pytest

from workbench.core.errors import InputError, of_system


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free the disk"),
        (errno.EDQUOT, "free the disk"),
        (errno.EFBIG, "free the disk"),
        (errno.EROFS, "name another place"),
        (errno.EACCES, "name another place"),
        (errno.EIO, "see to the disk"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENAMETOOLONG, "shorter path"),
    ],
)
@pytest.mark.parametrize("file", [None, "/home/runs/mlflow.db"])
def test_every_refusal_names_the_file_the_reason_and_a_remedy(
    number: int, remedy: str, file: str | None
) -> None:
    told = of_system(OSError(number, os.strerror(number), file))
    assert isinstance(told, InputError)
    assert told.exit_status == 2
    for fragment in (file or "a file", os.strerror(number), remedy):
        assert fragment in str(told)


def test_the_reason_may_stand_behind_a_library_s_own_error() -> None:
    made = RuntimeError("could not save")
    made.__cause__ = OSError(errno.ENOSPC, "No space left on device", "x.npz")
    assert "x.npz: cannot be used (No space left on device)" in str(of_system(made))


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), OSError("no number"), FileNotFoundError(errno.ENOENT, "gone", "x"), KeyError("k")],
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert of_system(error) is None
