"""Which study a file means under a home: a study is known by its text and by the content of its data files.

The same text over other data is another study, with an id, a folder, a ledger entry and MLflow runs of its
own. So an edited file leaves what was found with the old one as it stands, and a file that is brought back
brings its study back. Versions before this one knew a study by its text alone: where such a study was begun
on the very data that are there now, it goes on under its old id.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from workbench.core.errors import DataError, StudyError
from workbench.core.files import write_text
from workbench.core.locations import Locations
from workbench.storage import journal as spool
from workbench.storage import outcomes
from workbench.study.config import Study
from workbench.study.contents import contents

#: In the folder of a study that an earlier version began: the content of the files that it was begun on.
ADOPTED = "data.sha256"


class Identity(NamedTuple):
    """A study with the id that its records have here.

    remark   that another study of the same file came before, with other data; empty if none did, or if this
             one has records already
    missing  why a file of its data cannot be read; what is recorded is that of the content it had last
    """

    study: Study
    remark: str = ""
    missing: DataError | None = None

    def lacks(self, what: str) -> StudyError:
        """The sentence for records that are not there."""
        found = f"{self.remark}; " if self.remark else ""
        return StudyError(f"{self.study.path}: {found}{what} (study {self.study.id})")


def identified(study: Study, locations: Locations, *, keep: bool = True) -> Identity:
    """The study under the id that it has in this home.

    keep  note down what the files hold, so that the next call need not read them

    Raises DataError if its data cannot be read and were never seen here.
    """
    former = study.id_with({})
    try:
        digests, missing = contents(study.data, locations.home / "data", keep=keep)
    except DataError as error:
        begun = spool.first(locations.study(former) / "journal")
        sentence = DataError(f"{study.path}: {error}")
        if begun is None or begun["file"] != str(study.path.absolute()):
            raise sentence from error
        return Identity(replace(study, kept_as=former), missing=sentence)
    if missing is not None:
        missing = DataError(f"{study.path}: {missing}")
    own = study.id_with(digests)
    if own == former or locations.study(own).exists():
        return Identity(replace(study, kept_as=own), missing=missing)
    if _adopted(locations.study(former), study, digests, keep=keep):
        return Identity(replace(study, kept_as=former), missing=missing)
    return Identity(replace(study, kept_as=own), _remark(study, locations, own, digests), missing)


def _adopted(folder: Path, study: Study, digests: Mapping[str, str], *, keep: bool) -> bool:
    """Whether an earlier version began the study there, on the data that these files hold."""
    note, held = folder / ADOPTED, "\n".join(digests.values())
    if note.exists():
        return note.read_text(encoding="utf-8") == held
    begun = spool.first(folder / "journal")
    outcome = outcomes.load(folder) if begun is None else None
    if begun is None and outcome is None:
        return False
    from workbench import data

    try:
        dataset, sealed = data.load(study.data)
    except DataError:  # what the study was begun on could be loaded
        return False
    if begun is not None:
        same = (begun["data"], begun["seal"]["fingerprint"]) == (dataset.fingerprint, sealed.fingerprint)
    else:  # the journal was removed; the ledger knows the test rows
        same = outcome is not None and outcome.data["fingerprint"] == dataset.fingerprint
    if same and keep:
        with suppress(OSError):  # the rows are compared again then
            write_text(note, held)
    return same


def _remark(study: Study, locations: Locations, own: str, digests: Mapping[str, str]) -> str:
    """That the data changed since the last study of this file; empty if there was none."""
    journals = [path / "journal" for path in (locations.home / "studies").glob(f"{study.name}-????????")]
    there = sorted((path for path in journals if path.exists()), key=lambda path: path.stat().st_mtime)
    for journal in reversed(there):
        begun = spool.first(journal)
        if begun is not None and _of_same_text(begun, journal.parent.name, study):
            was: Mapping[str, Any] = begun.get("files", {})
            changed = [name for name, digest in digests.items() if was.get(name) != digest]
            return (
                f"{' and '.join(changed)} changed since study {begun['id']}, which stays as it is; "
                f"this is study {own}"
            )
    return ""


def _of_same_text(begun: Mapping[str, Any], id_: str, study: Study) -> bool:
    """Whether a study was begun from this file while it said the same."""
    same = begun["text"] == study.fingerprint if "text" in begun else id_ == study.id_with({})
    return bool(same and begun["file"] == str(study.path.absolute()))
