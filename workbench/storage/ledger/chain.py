"""An append-only table whose rows are chained by hash, so that a change of its past is seen.

Each link's hash covers its own content and the hash of the link before (Haber and Stornetta, "How to
time-stamp a digital document", 1991). Three things hold it:

- triggers of the database refuse UPDATE and DELETE, which stops accidents;
- the chain, a head row that names the last link, and the digests of the blobs show every edit made around
  the triggers: a changed, inserted, removed or reordered link, and a tail cut off;
- a witness, a text file outside the database with one line per link of its chain, shows a database that was
  replaced by an older or a rewritten one.

What cannot be seen: somebody who rewrites the chain from some link on *and* the head *and* every copy of the
hashes outside (witness, tracking server, reports). A secret key would not help, since whoever writes here
must be able to read it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

#: What the first link quotes as its predecessor.
GENESIS = "0" * 64

_metadata = sa.MetaData()
_links = sa.Table(
    "workbench_ledger",
    _metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("study", sa.String(128), nullable=False, index=True),
    sa.Column("time", sa.String(40), nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
_head = sa.Table(
    "workbench_ledger_head",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
_blobs = sa.Table(
    "workbench_ledger_blobs",
    _metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)


class Link(NamedTuple):
    """One row of the chain. `content` is JSON, kept letter by letter since the hash covers its text."""

    number: int  # 1, 2, 3 … without gaps
    kind: str
    study: str
    time: str  # UTC, ISO 8601
    content: str
    previous: str
    hash: str


def create(connection: sa.Connection) -> None:
    """Make the tables where they are missing. Call it inside the writing transaction."""
    if exists(connection):
        return
    _metadata.create_all(connection)
    connection.execute(_head.insert().values(id=1, number=0, hash=GENESIS))
    for statement in _TRIGGERS.get(connection.dialect.name, ()):
        connection.exec_driver_sql(statement)


def exists(connection: sa.Connection) -> bool:
    """Whether this database has a chain."""
    return all(sa.inspect(connection).has_table(table.name) for table in _metadata.tables.values())


def append(connection: sa.Connection, kind: str, study: str, content: dict[str, object]) -> Link:
    """Add a link after the last one. The caller holds the writing transaction, so numbers have no gaps."""
    number, previous = connection.execute(sa.select(_head.c.number, _head.c.hash)).one()
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    fields = (number + 1, kind, study, datetime.now(UTC).isoformat(timespec="milliseconds"), text, previous)
    link = Link(*fields, _hash(*fields))
    connection.execute(_links.insert().values(**link._asdict()))
    connection.execute(_head.update().values(number=link.number, hash=link.hash))
    return link


def links(connection: sa.Connection) -> list[Link]:
    """Every link, oldest first."""
    return [Link(*row) for row in connection.execute(sa.select(_links).order_by(_links.c.number))]


def store_blob(connection: sa.Connection, data: bytes) -> str:
    """Keep bytes that are too long for a link; returns the digest by which a link quotes them as `blob`."""
    digest = hashlib.sha256(data).hexdigest()
    known = connection.execute(sa.select(_blobs.c.digest).where(_blobs.c.digest == digest)).first()
    if known is None:
        connection.execute(_blobs.insert().values(digest=digest, data=data))
    return digest


def load_blob(connection: sa.Connection, digest: str) -> bytes | None:
    """The bytes of a digest; None where somebody removed them."""
    return connection.execute(sa.select(_blobs.c.data).where(_blobs.c.digest == digest)).scalar()


def findings(connection: sa.Connection) -> list[str]:
    """One sentence per break of the chain, the head or the blobs; empty when all of it is whole."""
    found: list[str] = []
    expected, previous, quoted = 1, GENESIS, set()
    chain = links(connection)
    for link in chain:
        if link.number != expected:
            found.append(f"entry {expected}: missing, entry {link.number} follows")
        if link.previous != previous:
            text = "does not follow the entry before it (removed, inserted or reordered)"
            found.append(f"entry {link.number}: {text}")
        if link.hash != _hash(*link[:-1]):
            found.append(f"entry {link.number}: its content is not what was written")
        expected, previous = _after(link.number, expected), link.hash
        quoted |= _quoted(link)
    heads = [tuple(row) for row in connection.execute(sa.select(_head))]
    last = (1, chain[-1].number, chain[-1].hash) if chain else (1, 0, GENESIS)
    if heads != [last]:
        found.append(
            f"the head names {heads or 'nothing'}, but the last entry is {last[1]} (cut off or replaced)"
        )
    stored = set()
    for digest, data in connection.execute(sa.select(_blobs)):
        stored.add(digest)
        if not isinstance(data, bytes) or hashlib.sha256(data).hexdigest() != digest:
            found.append(f"row marks {digest!s:.12}: their bytes are not what was written")
        if digest not in quoted:
            found.append(f"row marks {digest!s:.12}: no entry names them")
    found += [f"row marks {digest!s:.12}: removed" for digest in sorted(quoted - stored, key=str)]
    return found


def unlike_witness(links: Sequence[Link], witness: Path | None, shared: Path | None = None) -> list[str]:
    """One sentence per line of a witness that the chain contradicts; none where there is no witness.

    shared  a witness that other chains may have written into as well
    """
    return [
        f"{file}: entry {line.number} was seen as {line.hash:.12}, the ledger has another or none"
        for file, lines in _contradicting(links, witness, shared)
        for line in lines
    ]


def seen_openings(links: Sequence[Link], witness: Path | None, shared: Path | None = None) -> dict[str, str]:
    """Openings that a witness saw and that the chain lacks: hash, and seal.

    Of lines that do not say what they are of, as earlier versions wrote them, every third is taken for an
    opening, with the seal "".
    """
    found: dict[str, str] = {}
    for _, lines in _contradicting(links, witness, shared):
        found |= {line.hash: line.seal for line in lines if line.kind == "opening"}
        unsaid = [line.hash for line in lines if not line.kind]
        found |= dict.fromkeys(unsaid[::3], "")
    return found


class Seen(NamedTuple):
    """A line of a witness; earlier versions wrote number and hash alone."""

    number: str
    hash: str
    kind: str = ""
    seal: str = ""


def witness_lines(witness: Path | None) -> list[Seen]:
    """Every line. A last line without its end was torn by a crash and is passed over."""
    if witness is None or not witness.exists():
        return []
    lines = witness.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    return [Seen(*([*line.split(" "), "", ""][:4])) for line in lines]


def _contradicting(
    links: Sequence[Link], witness: Path | None, shared: Path | None
) -> list[tuple[Path, list[Seen]]]:
    """The lines of both witnesses that speak against the chain.

    In a shared one several chains may have written. Where no line agrees with this chain, others did; where a
    number stands twice, a line speaks against this chain only if it has such an entry, and no line says so.
    """
    hashes = {str(link.number): link.hash for link in links}
    found = []
    for file in filter(None, (witness, shared)):
        lines = witness_lines(file)
        mixed = file == shared and len({line.number for line in lines}) < len({line[:2] for line in lines})
        agreed = {line.number for line in lines if hashes.get(line.number) == line.hash}
        if file == shared and hashes and not agreed:
            continue
        passed = agreed | ({line.number for line in lines} - set(hashes)) if mixed else set()
        against = [
            line for line in lines if hashes.get(line.number) != line.hash and line.number not in passed
        ]
        found.append((file, against))
    return found


# The hash covers a JSON list, so no two different sets of fields read as the same text.
def _hash(*fields: object) -> str:
    return hashlib.sha256(
        json.dumps(fields, ensure_ascii=False, default=repr).encode("utf-8", "surrogatepass")
    ).hexdigest()


def _after(number: object, expected: int) -> int:
    return number + 1 if isinstance(number, int) else expected + 1


def _quoted(link: Link) -> set[str]:
    """The digests of the blobs that a link names."""
    try:
        content = json.loads(link.content)
    except (TypeError, ValueError):  # tampered with: its hash is already a finding
        return set()
    named = (content.get(key) for key in ("blob", "codes")) if isinstance(content, dict) else ()
    return {digest for digest in named if isinstance(digest, str)}


_REFUSE = "the ledger is append-only"
_TRIGGERS = {
    "sqlite": [
        f"CREATE TRIGGER {table}_{verb} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{_REFUSE}'); END"
        for table in (_links.name, _blobs.name)
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION workbench_ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSE}'; END $$",
        *(
            f"CREATE TRIGGER {table}_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION workbench_ledger_refuse()"
            for table in (_links.name, _blobs.name)
        ),
    ],
}
