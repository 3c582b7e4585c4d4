"""Reading the chain as looks at test sets: what was opened, which rows it met, what was scored.

Links are facts in the order in which they were written; a `Look` is what they say of one opening together.

How a look is numbered: every earlier opening counts by the share of this test set's rows that it opened, and
the shares add up. Their sum is how often a row of this test set was opened before, on average; the look is
one more, rounded up. Less than one row in a hundred counts for nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from workbench.core.errors import StoreError
from workbench.core.records import Declared, Opening, TestScore
from workbench.core.types import Array
from workbench.storage.ledger.chain import Link

#: The kind of link that holds what a study says beforehand; it belongs to no look.
DECLARATION = "declaration"
#: Share of a test set's rows, opened before, that counts for nothing.
LEAST = 0.01


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
    receipt: str = ""  # hash of its first entry, where it was first written: it is known by that in copies
    hand: bool = False  # rows that a user had predicted, targets in hand
    tries: Mapping[str, Any] = field(default_factory=dict)  # what was tried for its choice
    exposure: float | None = None  # how often its rows had been opened; None: in entries of earlier versions
    marks: str | None = None  # digest of its rows' marks; None before they were met
    kinds: int = 1  # marks of each row: columns of what `marks` names
    whole: tuple[int, ...] = ()  # of these, those that opened all of its rows
    head: tuple[Any, ...] = ()  # of its rows' sketch, whose bytes `codes` names
    codes: str | None = None
    recorded: Recorded | None = None  # None: opened and not (yet) scored


def numbered(exposure: float) -> int:
    """The number of a look at rows that were opened so often before, on average."""
    return 1 + max(0, math.ceil(exposure - LEAST))


def tried(looks: Iterable[Look]) -> dict[str, int]:
    """What was tried on some rows: studies, configurations, seeds, splits, metrics; each different one once.

    A study counts with the most configurations that one of its openings had. Openings that do not say (of
    earlier versions, and by hand) count as a study of one configuration.
    """
    configurations: dict[str, int] = {}
    different: dict[str, set[str]] = {"seeds": set(), "splits": set(), "metrics": set()}
    for look in looks:
        study, tries = look.opening.study, look.tries
        configurations[study] = max(configurations.get(study, 0), int(tries.get("configurations", 1)))
        for name, key in (("seeds", "seed"), ("metrics", "metric")):
            different[name] |= {str(tries[key])} if key in tries else set()
        if not look.hand:
            different["splits"].add(look.opening.seal)
    counts = {name: max(1, len(values)) for name, values in different.items()}
    return {"studies": len(configurations), "configurations": sum(configurations.values()), **counts}


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
            looks[look.number] = _met(look, content) if link.kind == "rows" else _scored(look, link, content)
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
        known = len(look.met) + 1 if look.exposure is None else numbered(look.exposure)
        if look.opening.look != known:
            text = f"look {look.opening.look}, but what was opened before makes it look {known}"
            found.append(f"entry {look.number}: {text}")
        if look.recorded is not None and look.recorded.score.look != look.opening.look:
            text = f"look {look.opening.look} was scored as look {look.recorded.score.look}"
            found.append(f"entry {look.number}: {text}")
    return found


def pack_marks(marks: Array | Sequence[str]) -> Array:
    """The marks of N rows, C of each kind: uint64 [C, N], in the order of the rows.

    marks  [N, C] or, of one kind, [N]. Strings are hashed, integers are taken as they are

    Among a million rows two collide by accident with a probability of 3e-8; half of them never do.
    """
    if not (isinstance(marks, np.ndarray) and marks.dtype.kind in "iu"):
        digests = (hashlib.blake2b(str(mark).encode(), digest_size=8).digest() for mark in marks)
        marks = np.frombuffer(b"".join(digests), "<u8")
    return np.ascontiguousarray(np.atleast_2d(marks.astype("<u8").T))


def shared_rows(marks: Array, others: Array) -> tuple[float, Array]:
    """The rows of `marks` [C, N] that are among `others` [C, M], by the kind that finds most: share, bool.

    Equal rows count as often as they occur. One kind of mark is enough: values survive in a part of the rows,
    places in a rescaled file (`data.marks`). Kinds that only one of the two has are passed over.
    """
    nothing = 0.0, np.zeros(marks.shape[1], bool)
    found = (_shared(mine, theirs) for mine, theirs in zip(marks, others, strict=False))
    return max(found, key=lambda each: each[0], default=nothing)


def _shared(marks: Array, others: Array) -> tuple[float, Array]:
    if not marks.size:
        return 0.0, np.zeros(0, bool)
    (mine, places, n_mine), (theirs, n_theirs) = (
        np.unique(marks, return_inverse=True, return_counts=True),
        np.unique(others, return_counts=True),
    )
    _, here, there = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
    known = np.zeros(len(mine), bool)
    known[here] = True
    return float(np.minimum(n_mine[here], n_theirs[there]).sum() / marks.size), known[places]


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
        receipt=content.get("origin", link.hash),
        hand=content.get("hand", False),
        tries=content.get("tries", {}),
        exposure=content.get("exposure"),
    )


def _met(look: Look, content: Mapping[str, Any]) -> Look:
    known = {key: content[key] for key in _KNOWN if key in content}
    return replace(
        look,
        opening=replace(look.opening, look=content["look"], **known),
        met=tuple(content["met"]),
        whole=tuple(content.get("whole", ())),
        exposure=content.get("exposure"),
        marks=content["blob"],
        kinds=content.get("kinds", 1),
        head=tuple(content.get("head", ())),
        codes=content.get("codes"),
    )


#: What is found out of an opening's rows when they are met.
_KNOWN = ("rows_opened_before", "rows_reused", "tried", "remarks")


def _scored(look: Look, link: Link, content: Mapping[str, Any]) -> Look:
    score = TestScore(**content["score"])
    return replace(look, recorded=Recorded(look.opening, score, content["extra"], link.time, link.hash))
