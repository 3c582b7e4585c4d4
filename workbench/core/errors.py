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


class BusyError(StoreError):
    """Another process works on the same study."""
