"""The exceptions of the workbench, drawn at the top because every door catches them here.

    WorkbenchError              the work failed                       exit status 1
    └── InputError              something the user wrote is wrong     exit status 2
        ├── StudyError          a study file or an option
        ├── DataError           a data file, or data that do not fit the study
        └── StoreError          a home directory, database or server that cannot be used
            └── AwayError       a server that does not answer and may come back

The text of an error is one sentence: where (file, key), the value, what was expected, what to do.
"""

from __future__ import annotations

import errno


class WorkbenchError(Exception):
    """The work failed for a reason that is known."""

    exit_status = 1


class InputError(WorkbenchError):
    """Something the user wrote is wrong; the text says what and how to mend it."""

    exit_status = 2


class StudyError(InputError):
    """A study file or an option on the command line."""


class DataError(InputError):
    """A data file, or data that do not fit the study."""


class StoreError(InputError):
    """A home directory, database or server that cannot be used."""


class AwayError(StoreError):
    """A server that does not answer and may come back."""


#: What a system says when a place cannot be used, and what to do about it.
_REMEDIES = {
    "free the disk, and run the same command again": (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", 0)),
    "allow this user to write there, or name another place": (errno.EROFS, errno.EACCES, errno.EPERM),
    "see to the disk": (errno.EIO, getattr(errno, "ESTALE", 0)),
    "let this user have more files open (ulimit -n)": (errno.EMFILE, errno.ENFILE),
    "free memory": (errno.ENOMEM,),
    "choose a shorter path": (errno.ENAMETOOLONG,),
}


def of_system(error: BaseException) -> StoreError | None:
    """The sentence about a file or folder that the system refuses; None for any other error.

    The error may stand behind another one, which a library made of it.
    """
    seen: BaseException | None = error
    while seen is not None and not (isinstance(seen, OSError) and seen.errno):
        seen = seen.__cause__ or seen.__context__
    if not isinstance(seen, OSError):
        return None
    remedy = next((words for words, numbers in _REMEDIES.items() if seen.errno in numbers), None)
    if remedy is None:
        return None
    where = f"{seen.filename}: cannot be used" if seen.filename else "a file cannot be written"
    return StoreError(f"{where} ({seen.strerror}); {remedy}")


class BusyError(StoreError):
    """Another process works on the same study."""
