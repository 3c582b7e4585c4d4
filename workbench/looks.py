"""Reading the chain as looks at test sets: what was opened, which rows it met, what was scored.

Links are facts in the order in which they were written; a `Look` is what they say of one opening together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workbench.chain import Link
from workbench.errors import StoreError
from workbench.types import Array, Declared, Opening, TestScore

__all__ = [
    "DECLARATION",
    "Look",
    "Recorded",
    "contradictions",
    "pack_marks",
    "read_declarations",
    "read_looks",
    "shared_rows",
]

#: The kind of link that holds what a study says beforehand; it belongs to no look.
DECLARATION = "declaration"


@dataclass(frozen=True)
class Recorded:
    """The one score of a study, and the choice that it belongs to."""

    opening: Opening
    score: TestScore
    extra: Mapping[str, Any]  # what the caller recorded beside it
    time: str  # UTC, ISO 8601
    receipt: str  # hash of the entry: kept in a report or on a server, it is a witness


@dataclass(frozen=True)
class Look:
    """One opening of a test set: a line of `workbench ledger`."""

    number: int  # of its first entry in the chain
    opening: Opening
    name: str  # of the data
    rows: int
    who: str
    host: str
    time: str  # UTC, ISO 8601
    met: tuple[int, ...]  # numbers of the earlier openings of the same rows
    marks: str | None = None  # digest of its rows' marks; None before they were met
    kinds: int = 1  # marks of each row: columns of what `marks` names
    recorded: Recorded | None = None  # None: opened and not (yet) scored


def read_looks(links: Sequence[Link]) -> list[Look]:
    """One `Look` per opening, oldest first. Raises StoreError for a link that fits none before it."""
    looks: dict[int, Look] = {}
    for link in links:
        if link.kind == DECLARATION:
            continue
        try:
            content = json.loads(link.content)
            if link.kind == "opening":
                looks[link.number] = _look(link, content)
                continue
            look = looks[content["opening"]]
            if link.kind == "rows":
                opening = replace(look.opening, look=content["look"])
                met, kinds = tuple(content["met"]), content.get("kinds", 1)
                look = replace(look, opening=opening, met=met, marks=content["blob"], kinds=kinds)
            else:
                score = TestScore(**content["score"])
                recorded = Recorded(look.opening, score, content["extra"], link.time, link.hash)
                look = replace(look, recorded=recorded)
            looks[look.number] = look
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable(link) from error
    return list(looks.values())


def read_declarations(links: Sequence[Link], study: str) -> tuple[Declared, ...]:
    """What a study has said beforehand, oldest first. Raises StoreError for a link that was changed."""
    found = []
    for link in links:
        if link.kind == DECLARATION and link.study == study:
            try:
                found.append(Declared(**json.loads(link.content)))
            except (TypeError, ValueError) as error:
                raise _unreadable(link) from error
    return tuple(found)


def contradictions(links: Sequence[Link]) -> list[str]:
    """One sentence per link that is whole and yet tells an impossible story."""
    try:
        looks = read_looks(links)
        for study in {link.study for link in links if link.kind == DECLARATION}:
            read_declarations(links, study)
    except StoreError as error:
        return [str(error)]
    found: list[str] = []
    seen: set[tuple[str, int]] = set()
    for link in links:
        if link.kind not in ("opening", DECLARATION):
            key = (link.kind, json.loads(link.content)["opening"])
            if key in seen:
                found.append(f"entry {link.number}: opening {key[1]} has its {link.kind} twice")
            seen.add(key)
    for look in looks:
        if look.opening.look != len(look.met) + 1:
            text = f"look {look.opening.look} after {len(look.met)} earlier openings of the same rows"
            found.append(f"entry {look.number}: {text}")
        if look.recorded is not None and look.recorded.score.look != look.opening.look:
            text = f"look {look.opening.look} was scored as look {look.recorded.score.look}"
            found.append(f"entry {look.number}: {text}")
    return found


def pack_marks(marks: Array | Sequence[str]) -> Array:
    """The marks of N rows, C of each kind: uint64 [C, N], every kind sorted for itself.

    marks  [N, C] or, of one kind, [N]. Strings are hashed, integers are taken as they are

    Among a million rows two collide by accident with a probability of 3e-8; half of them never do.
    """
    if not (isinstance(marks, np.ndarray) and marks.dtype.kind in "iu"):
        digests = (hashlib.blake2b(str(mark).encode(), digest_size=8).digest() for mark in marks)
        marks = np.frombuffer(b"".join(digests), "<u8")
    return np.sort(np.atleast_2d(marks.astype("<u8").T), axis=1)


def shared_rows(marks: Array, others: Array) -> float:
    """Share of the rows `marks` [C, N] that are among `others` [C, M], by the kind that finds most of them.

    Equal rows count as often as they occur. One kind of mark is enough: values survive in a part of the rows,
    places in a rescaled file (`data.marks`). Kinds that only one of the two has are passed over.
    """
    return max((_shared(mine, theirs) for mine, theirs in zip(marks, others, strict=False)), default=0.0)


def _shared(marks: Array, others: Array) -> float:
    if not marks.size:
        return 0.0
    (mine, n_mine), (theirs, n_theirs) = (np.unique(rows, return_counts=True) for rows in (marks, others))
    _, here, there = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
    return float(np.minimum(n_mine[here], n_theirs[there]).sum() / marks.size)


def _unreadable(link: Link) -> StoreError:
    where = f"ledger: entry {link.number} cannot be read"
    return StoreError(f"{where}, it was changed; `workbench ledger --verify` says more")


def _look(link: Link, content: Mapping[str, Any]) -> Look:
    return Look(
        number=link.number,
        opening=Opening(**{key: content[key] for key in ("study", "seal", "choice", "look")}),
        **{key: content[key] for key in ("name", "rows", "who", "host")},
        time=link.time,
        met=tuple(content["met"]),
    )
