"""A part of a launch: lanes that one process trains, and what comes back of them.

A lane's result does not depend on its neighbours, so a launch may be cut into parts and its parts trained
by several processes: the search sees the same lanes come back as if it had trained them all itself.
`pack` and `unpack` turn both directions into bytes, without pickle.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from workbench.checkpoints import flat, shaped
from workbench.engine import Engine
from workbench.errors import WorkbenchError
from workbench.recipe import Hyperparameters
from workbench.space import Program
from workbench.training import Lane
from workbench.types import Array, Curves, Value

__all__ = [
    "Brought",
    "Member",
    "Part",
    "Train",
    "cut",
    "pack",
    "pack_brought",
    "train",
    "unpack",
    "unpack_brought",
]


class Member(NamedTuple):
    """A lane of a trial, in a part."""

    number: int
    params: Mapping[str, Value]
    program: Program
    hyper: Hyperparameters
    lane: Lane | None  # None: a new one, or one that was lost and is trained again


class Part(NamedTuple):
    """Train these together, all of one program, from `first` epochs behind them to `last`."""

    members: tuple[Member, ...]
    width: int  # lanes in the program
    first: int
    last: int
    final: bool  # no lane goes on after this
    keep: bool = False  # lanes that stop are wanted as well: other folds of their trials may go on


class Brought(NamedTuple):
    """What training has made of a lane."""

    status: Literal["running", "stopped", "diverged"]
    score: float | None  # validation score so far, of the epoch that counts
    best_epoch: int
    curves: Curves  # of the epochs from first to last
    lane: Lane | None  # of one that may go on, on the host
    block: Array | None  # [G] of one that has ended with a score: see `population.pseudo_values`


Train = Callable[[Part], list[Brought]]


def train(engine: Engine, part: Part) -> list[Brought]:
    """Train a part in this process."""
    program, width = part.members[0].program, part.width
    recipe, variant, hypers = program.recipe, program.variant, [member.hyper for member in part.members]
    lanes = None if part.first == 0 else _lanes(engine, part)
    trained = engine.run(recipe, variant, width, hypers, lanes, first=part.first, last=part.last)
    wanted = ("running", "stopped") if part.keep else ("running",)
    ended = [
        i
        for i, lane in enumerate(trained)
        if lane.score is not None and (lane.status == "stopped" or (part.final and lane.status == "running"))
    ]
    blocks: dict[int, Array] = {}
    if ended:
        values = engine.pseudo_values(
            recipe, variant, width, [hypers[i] for i in ended], [trained[i].lane for i in ended]
        )
        blocks = dict(zip(ended, values, strict=True))
    return [
        Brought(
            lane.status,
            lane.score,
            lane.best_epoch,
            lane.curves,
            lane.lane if lane.status in wanted and not part.final else None,
            blocks.get(i),
        )
        for i, lane in enumerate(trained)
    ]


def cut(part: Part, pieces: int) -> list[tuple[int, ...]]:
    """Which members of a part go into each of at most so many pieces, alike in what they cost."""
    order = sorted(range(len(part.members)), key=lambda i: (-int(part.members[i].hyper.depth), i))
    return [tuple(order[k::pieces]) for k in range(min(pieces, len(order)))]


def pack(part: Part) -> bytes:
    """A part as bytes; its programs are known by the parameters of its trials."""
    head = {
        "width": part.width,
        "first": part.first,
        "last": part.last,
        "final": part.final,
        "keep": part.keep,
        "division": part.members[0].program.variant.division,
        "trials": [[member.number, dict(member.params)] for member in part.members],
        "lanes": [member.lane is not None for member in part.members],
    }
    return _archive(head, [leaf for member in part.members for leaf in flat(member.lane)])


def unpack(
    content: bytes,
    setting: Callable[[int, Mapping[str, Value], int], tuple[Program, Hyperparameters]],
    template: Callable[[Program, Hyperparameters], Lane],
) -> Part:
    """The inverse of `pack`.

    setting   (number, parameters, division) -> program and hyperparameters of a lane
    template  shapes of a lane
    """
    head, arrays = _opened(content)
    members = []
    for (number, params), there in zip(head["trials"], head["lanes"], strict=True):
        program, hyper = setting(number, params, head["division"])
        lane = _shaped(template(program, hyper), arrays) if there else None
        members.append(Member(number, params, program, hyper, lane))
    return Part(tuple(members), *(head[name] for name in ("width", "first", "last", "final", "keep")))


def pack_brought(brought: Sequence[Brought]) -> bytes:
    """What a part has brought, as bytes."""
    head = [
        [one.status, one.score, one.best_epoch, one.lane is not None, one.block is not None]
        for one in brought
    ]
    arrays: list[Any] = []
    for one in brought:
        arrays += [*one.curves, *flat(one.lane), *([] if one.block is None else [one.block])]
    return _archive(head, arrays)


def unpack_brought(
    content: bytes, part: Part, template: Callable[[Program, Hyperparameters], Lane]
) -> list[Brought]:
    """The inverse of `pack_brought`, for the members of `part` in their order."""
    head, arrays = _opened(content)
    brought = []
    for (status, score, best_epoch, has_lane, has_block), member in zip(head, part.members, strict=True):
        curves = Curves(*(next(arrays) for _ in Curves._fields))
        lane = _shaped(template(member.program, member.hyper), arrays) if has_lane else None
        brought.append(Brought(status, score, best_epoch, curves, lane, next(arrays) if has_block else None))
    return brought


def _lanes(engine: Engine, part: Part) -> list[Lane]:
    """The lanes after `first` epochs; those that were lost are trained again, which gives the same."""
    lost = [member for member in part.members if member.lane is None]
    program = part.members[0].program
    again = iter(
        engine.run(
            program.recipe, program.variant, part.width, [member.hyper for member in lost], None,
            first=0, last=part.first,
        )
        if lost
        else ()
    )  # fmt: skip
    return [next(again).lane if member.lane is None else member.lane for member in part.members]


def _shaped(template: Lane, arrays: Iterator[Array]) -> Lane:
    lane = shaped(template, arrays)
    if lane is None:
        raise WorkbenchError("a lane has come back in another shape; install one version everywhere")
    return cast("Lane", lane)


def _archive(head: Any, arrays: Sequence[Any]) -> bytes:
    file = io.BytesIO()
    text = np.frombuffer(json.dumps(head).encode(), np.uint8)
    np.savez(file, text, *arrays)
    return file.getvalue()


def _opened(content: bytes) -> tuple[Any, Iterator[Array]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        text, *arrays = (archive[name] for name in archive.files)
    return json.loads(text.tobytes()), iter(arrays)
