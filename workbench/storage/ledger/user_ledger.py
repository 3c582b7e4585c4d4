"""The ledger of the user: what all homes of this machine have opened, in one file.

It is a chain like that of a home (see `chain`) and holds every opening with the marks of its rows, but no
score and no cell. It lies in the platform's folder for data; WORKBENCH_LEDGER names another file or database,
or switches it off (`off`). An opening is written in the home first and here second, both before a row is
loaded; it is known here by the hash that it has there, so a copied home brings nothing new, and what a crash
left out is written when the look is finished.

Where it cannot be used, work goes on, and the report says that looks of other homes are not counted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.core.addresses import redact
from workbench.core.errors import StoreError
from workbench.storage import database
from workbench.storage.ledger import chain
from workbench.storage.ledger.encounters import Encounter, Rows, meetings
from workbench.storage.ledger.looks import Look, contradictions, read_looks

#: The word that switches it off.
OFF = "off"
Meeting = tuple[Look, Encounter]
Blobs = Mapping[str, bytes]
#: From the meetings that only this ledger knows, all its receipts, and a remark: what is to be written.
Content = Callable[[Sequence[Meeting], set[str], str], dict[str, Any]]


def address(environ: Mapping[str, str] | None = None) -> str:
    """Where it is, by the environment (None: that of this process): the address of a database, or `off`."""
    environ = os.environ if environ is None else environ
    named = environ.get("WORKBENCH_LEDGER", "")
    if named == OFF or "://" in named:
        return named
    if named:
        path = Path(named).expanduser().absolute()
    else:
        import platformdirs

        path = Path(platformdirs.user_data_dir("workbench", appauthor=False)) / "openings.db"
    return f"sqlite:///{path / 'openings.db' if path.is_dir() else path}"


def note(url: str | None, receipt: str, link: chain.Link, home: str) -> str:
    """Write an opening of a home, unless it is there; a remark where that is not possible.

    receipt  the hash by which the opening is known
    home     address of the ledger that it stands in
    """
    if url is None or url == OFF:
        return _without(url)
    try:
        with database.writing(database.connect(url)) as connection:
            _write(connection, receipt, link, home)
    except StoreError as error:
        return _without(url, error)
    return ""


def meet(
    url: str | None, mine: Look, known: set[str], rows: Rows, blobs: Blobs, content: Content
) -> dict[str, Any]:
    """What openings that the home does not know have met, made into content, and written here as well.

    known  receipts of the openings that the home knows
    """
    if url is None or url == OFF:
        return content((), set(), _without(url))
    try:
        engine = database.connect(url)
        with database.hold(engine, "meet"):
            with database.reading(engine) as connection:
                looks = [] if connection is None else read_looks(chain.links(connection))
                here = next((look for look in looks if look.receipt == mine.receipt), None)
                if here is None:
                    raise StoreError(f"{redact(url)}: lacks this opening")
                others = [look for look in looks if look.receipt not in known]
                found = meetings(
                    connection, others, mine, rows, counted=lambda look: look.number < here.number
                )
            made = content(found, {look.receipt for look in looks}, "")
            if here.marks is None:
                with database.writing(engine) as connection:
                    stored = {name: chain.store_blob(connection, data) for name, data in blobs.items()}
                    told = {**made, **stored, "opening": here.number, "met": []}
                    chain.append(connection, "rows", mine.opening.study, told)
            return made
    except StoreError as error:
        return content((), set(), _without(url, error))


def receipts(url: str | None, home: str) -> dict[str, str]:
    """The openings of a home that are noted here, with their seals; none where it cannot be read."""
    return {look.receipt: look.opening.seal for look, kept in _kept(url) if kept == _name(home)}


def verify(url: str | None, home: str, known: set[str]) -> list[str]:
    """One sentence per sign of tampering here, or per opening of the home that is missing there."""
    if url is None or url == OFF:
        return []
    try:
        with database.reading(database.connect(url)) as connection:
            if connection is None or not chain.exists(connection):
                return []
            found = chain.findings(connection) or contradictions(chain.links(connection))
    except StoreError as error:
        return [f"the ledger of the user cannot be read: {error}"]
    missing = [
        f"an opening of {look.opening.study} is in the ledger of the user, but not in this one"
        for look, kept in _kept(url)
        if kept == _name(home) and look.receipt not in known
    ]
    return [f"the ledger of the user, {finding}" for finding in found] + missing


def _kept(url: str | None) -> list[tuple[Look, str]]:
    """Every opening, and the ledger of the home that it stands in."""
    if url is None or url == OFF:
        return []
    try:
        with database.reading(database.connect(url)) as connection:
            if connection is None or not chain.exists(connection):
                return []
            links = chain.links(connection)
            kept = {link.number: json.loads(link.content).get("kept", "") for link in links}
            return [(look, kept[look.number]) for look in read_looks(links)]
    except StoreError:  # `note` and `verify` say so
        return []


def _write(connection: Any, receipt: str, link: chain.Link, home: str) -> None:
    chain.create(connection)
    if any(look.receipt == receipt for look in read_looks(chain.links(connection))):
        return
    content = json.loads(link.content)
    told = {**content, "met": [], "exposure": 0.0, "look": 1, "origin": receipt, "kept": _name(home)}
    chain.append(connection, "opening", link.study, told)


def _name(home: str) -> str:
    return redact(home)


def _without(url: str | None, error: BaseException | None = None) -> str:
    """What the report says."""
    if url is None:
        return ""
    why = (
        "it is switched off"
        if url == OFF
        else f"{str(error).partition('; ')[0]}; WORKBENCH_LEDGER names another"
    )
    return f"Looks of other homes are not counted, for want of the user's ledger: {why}."
