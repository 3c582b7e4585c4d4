"""A part of a search: lanes of a trial that one process trains, and what comes back of them.

A lane's result does not depend on where it is trained, so parts may be trained by several processes: the
search sees the same lanes come back as if it had trained them all itself.
`pack` and `unpack` turn both directions into bytes, without pickle.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from workbench.core.errors import WorkbenchError
from workbench.core.records import Curves
from workbench.core.types import Array, Value
from workbench.nn.recipe import Hyperparameters
from workbench.training.checkpoints import flat, shaped
from workbench.training.engine import Engine, Job, Trained
from workbench.training.trainer import Lane
from workbench.tuning.space import Program


class Member(NamedTuple):
    """A lane of a trial, in a part."""

    number: int
    params: Mapping[str, Value]
    program: Program
    hyper: Hyperparameters
    lane: Lane | None  # None: a new one, or one that was lost and is trained again


class Part(NamedTuple):
    """Train these, all of one trial, from `first` epochs behind them to `last`."""

    members: tuple[Member, ...]
    first: int
    last: int
    final: bool  # no lane goes on after this
    keep: bool = False  # lanes that stop are wanted as well: other folds of their trial may go on


class LaneResult(NamedTuple):
    """What training has made of a lane."""

    status: Literal["running", "stopped", "diverged"]
    score: float | None  # validation score so far, of the epoch that counts
    best_epoch: int
    seconds: float  # of training
    curves: Curves  # of the epochs from first to last
    lane: Lane | None  # of one that may go on, on the host
    block: Array | None  # [G] of one that has ended with a score: see `population.pseudo_values`
    also: Array | None = None  # [M] its scores by further metrics, where the study asks for such


#: Has a part trained somewhere; a future for each of its members.
Train = Callable[[Part], list[Future[LaneResult]]]


#: The shapes of a lane of a program.
Template = Callable[[Program, Hyperparameters], Lane]


def submit(engine: Engine, part: Part) -> list[Future[LaneResult]]:
    """Train a part in this process, each member as soon as a core is free."""
    return [_submit(engine, part, member) for member in part.members]


def _submit(engine: Engine, part: Part, member: Member) -> Future[LaneResult]:
    recipe, variant = member.program.recipe, member.program.variant
    job = Job(
        recipe, variant, member.hyper, part.first, part.last, member.lane,
        blocks="ended" if part.final else "stopped", also=True,
    )  # fmt: skip
    wanted = () if part.final else ("running", "stopped") if part.keep else ("running",)

    def brought(lane: Trained) -> LaneResult:
        kept = lane.lane if lane.status in wanted else None
        return LaneResult(
            lane.status, lane.score, lane.best_epoch, lane.seconds, lane.curves, kept, lane.block, lane.also
        )

    return chain(engine.submit(job), Future(), brought)


def chain(
    source: Future[Any], target: Future[Any], function: Callable[[Any], Any] = lambda result: result
) -> Future[Any]:
    """Let one future end as another does, with what a function makes of its result."""

    def settle(done: Future[Any]) -> None:
        if done.cancelled():
            target.cancel()
        elif not target.set_running_or_notify_cancel():
            return
        elif error := done.exception():
            target.set_exception(error)
        else:
            target.set_result(function(done.result()))

    source.add_done_callback(settle)
    target.add_done_callback(lambda done: done.cancelled() and source.cancel())
    return target


def pack(parts: Sequence[Part]) -> bytes:
    """Parts as bytes; their programs are known by the parameters of their trials."""
    head = [
        {
            "first": part.first,
            "last": part.last,
            "final": part.final,
            "keep": part.keep,
            "lanes": [
                [member.number, dict(member.params), member.program.variant.division, member.lane is not None]
                for member in part.members
            ],
        }
        for part in parts
    ]
    members = [member for part in parts for member in part.members]
    return pack_arrays(head, [leaf for member in members for leaf in flat(member.lane)])


def unpack(
    content: bytes,
    setting: Callable[[int, Mapping[str, Value], int], tuple[Program, Hyperparameters]],
    template: Template,
) -> list[Part]:
    """The inverse of `pack`.

    setting   (number, parameters, division) -> program and hyperparameters of a lane
    template  shapes of a lane
    """
    head, arrays = unpack_arrays(content)
    parts = []
    for said in head:
        members = []
        for number, params, division, there in said["lanes"]:
            program, hyper = setting(number, params, division)
            lane = _shaped(template(program, hyper), arrays) if there else None
            members.append(Member(number, params, program, hyper, lane))
        parts.append(Part(tuple(members), *(said[name] for name in ("first", "last", "final", "keep"))))
    return parts


def pack_results(brought: Sequence[LaneResult]) -> bytes:
    """What parts have brought, as bytes."""
    head = [[*one[:4], one.lane is not None, *(each is not None for each in one[6:])] for one in brought]
    arrays: list[Any] = []
    for one in brought:
        arrays += [*one.curves, *flat(one.lane), *(each for each in one[6:] if each is not None)]
    return pack_arrays(head, arrays)


def unpack_results(content: bytes, members: Sequence[Member], template: Template) -> list[LaneResult]:
    """The inverse of `pack_results`, for these members in their order."""
    head, arrays = unpack_arrays(content)
    brought = []
    for said, member in zip(head, members, strict=True):
        status, score, best_epoch, seconds, has_lane, has_block, has_also = said
        curves = Curves(*(next(arrays) for _ in Curves._fields))
        lane = _shaped(template(member.program, member.hyper), arrays) if has_lane else None
        block, also = (next(arrays) if there else None for there in (has_block, has_also))
        brought.append(LaneResult(status, score, best_epoch, seconds, curves, lane, block, also))
    return brought


def _shaped(template: Lane, arrays: Iterator[Array]) -> Lane:
    lane = shaped(template, arrays)
    if lane is None:
        raise WorkbenchError("a lane has come back in another shape; install one version everywhere")
    return cast("Lane", lane)


def pack_arrays(head: Any, arrays: Sequence[Any]) -> bytes:
    """What JSON can say, and arrays of numbers, as bytes: a line of JSON, then the arrays as they are.

    An archive of NumPy's takes a tenth of a millisecond for each array, and a lane has dozens.
    """
    plain = [np.ascontiguousarray(array).reshape(np.shape(array)) for array in arrays]
    kinds = [[array.dtype.str, array.shape] for array in plain]
    line = json.dumps([head, kinds]).encode() + b"\n"
    return b"".join([line, *(array.tobytes() for array in plain)])


def unpack_arrays(content: bytes) -> tuple[Any, Iterator[Array]]:
    """The inverse of `pack_arrays`; the arrays are made as they are asked for."""
    end = content.index(b"\n")
    head, kinds = json.loads(content[:end])
    return head, _arrays(content, end + 1, kinds)


def _arrays(content: bytes, at: int, kinds: Iterable[Any]) -> Iterator[Array]:
    for name, shape in kinds:
        dtype = np.dtype(name)
        count = math.prod(shape)
        yield np.frombuffer(content, dtype, count, at).reshape(shape).copy()
        at += count * dtype.itemsize
