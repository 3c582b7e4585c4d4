"""Parts of a search: the same in bytes and back, and lanes that were lost come out the same."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tests.helpers.problems import blobs
from tests.tuning.test_loop import EPOCHS, SETTINGS
from workbench.training.engine import Engine
from workbench.tuning import jobs
from workbench.tuning.jobs import LaneResult, Member, Part
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.space import OWN, Problem, Program

DATA = blobs()
PROBLEM = Problem("classification", (5,), 3, 1, len(DATA.train.x))


def setting(number: int, params: Any, division: int = OWN) -> tuple[Program, Any]:
    return LanePlan(SETTINGS, lambda variant: PROBLEM, "accuracy", (8,)).lane(params, number, division)


def member(number: int, lane: Any = None) -> Member:
    params = {
        "depth": 1 + number % 2, "width": 2 + number % 6, "activation": ("relu", "tanh")[number % 2],
        "optimizer": "adam", "learning_rate": 1e24 if number == 3 else 0.01 * (1 + number), "l2": 1e-6,
        "dropout": 0.1, "batch_size": 32,
    }  # fmt: skip
    program, hyper = setting(number, params)
    return Member(number, params, program, hyper, lane)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(lambda variant: DATA, capacity=EPOCHS, seed=3)


@pytest.fixture(scope="module")
def first(engine: Engine) -> tuple[Part, list[LaneResult]]:
    part = Part(tuple(member(number) for number in range(7)), 0, 4, final=False)
    return part, trained(engine, part)


def trained(engine: Engine, part: Part) -> list[LaneResult]:
    return [future.result() for future in jobs.submit(engine, part)]


def same(one: list[LaneResult], other: list[LaneResult]) -> None:
    assert [b[:3] for b in one] == [b[:3] for b in other]  # the clock left out
    for a, b in zip(one, other, strict=True):
        leaves = jax.tree.leaves((a.curves, a.lane, a.block, a.also))
        others = jax.tree.leaves((b.curves, b.lane, b.block, b.also))
        for mine, theirs in zip(leaves, others, strict=True):
            np.testing.assert_array_equal(mine, theirs)
            assert np.asarray(mine).dtype == np.asarray(theirs).dtype


def template(engine: Engine, program: Program, hyper: Any) -> Any:
    return engine.template(program.recipe, hyper)


def test_bytes_and_back(engine: Engine, first: tuple[Part, list[LaneResult]]) -> None:
    part, brought = first
    assert {one.status for one in brought} == {"running", "diverged"}
    shape = partial(template, engine)
    same(jobs.unpack_results(jobs.pack_results(brought), part.members, shape), brought)
    scored = [one._replace(also=np.float32([0.5, i])) for i, one in enumerate(brought)]
    same(jobs.unpack_results(jobs.pack_results(scored), part.members, shape), scored)
    onward = part._replace(
        members=tuple(
            m._replace(lane=b.lane)
            for m, b in zip(part.members, brought, strict=True)
            if b.status == "running"
        ),
        first=4,
        last=8,
    )
    head, again = jobs.unpack(jobs.pack([part, onward]), setting, shape)
    assert head[1:] == part[1:]
    assert len(head.members) == len(part.members)
    assert again[1:] == onward[1:]
    for mine, theirs in zip(again.members, onward.members, strict=True):
        assert (mine.number, mine.params, mine.program) == (theirs.number, theirs.params, theirs.program)
        for a, b in zip(
            jax.tree.leaves((mine.hyper, mine.lane)),
            jax.tree.leaves((theirs.hyper, theirs.lane)),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


@given(
    arrays=st.lists(
        npst.arrays(
            st.sampled_from([np.float32, np.int32, np.uint8, np.bool_, np.uint32, np.float64]),
            npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
        max_size=5,
    ),
    head=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists),
)
def test_any_arrays_go_to_bytes_and_back(arrays: list[np.ndarray], head: Any) -> None:
    told, again = jobs.unpack_arrays(jobs.pack_arrays(head, [array.T for array in arrays]))
    assert told == head
    for mine, theirs in zip(arrays, again, strict=True):
        assert theirs.dtype == mine.dtype
        assert theirs.flags.writeable
        np.testing.assert_array_equal(theirs, mine.T)


def test_a_fold_keeps_its_division_and_its_stopped_lanes(engine: Engine) -> None:
    members = []
    for number in (0, 1):
        plain = member(number)
        program, hyper = setting(number, {**plain.params, "learning_rate": 1e-9}, division=2)
        members.append(plain._replace(program=program, hyper=hyper))
    part = Part(tuple(members), 0, 8, final=False, keep=True)
    (again,) = jobs.unpack(jobs.pack([part]), setting, partial(template, engine))
    assert again[1:] == part[1:]
    assert [one.program for one in again.members] == [one.program for one in part.members]
    assert {one.program.variant.division for one in again.members} == {2}
    brought = trained(engine, part)
    assert {one.status for one in brought} == {"stopped"}, "nothing is learned at such a rate"
    assert all(one.lane is not None and one.block is not None for one in brought)
    same(jobs.unpack_results(jobs.pack_results(brought), part.members, partial(template, engine)), brought)
    assert all(one.lane is None for one in trained(engine, part._replace(keep=False)))


def test_a_lost_lane_is_trained_again_and_is_the_same(
    engine: Engine, first: tuple[Part, list[LaneResult]]
) -> None:
    part, brought = first
    alive = [(m, b) for m, b in zip(part.members, brought, strict=True) if b.status == "running"]
    kept = part._replace(
        members=tuple(m._replace(lane=b.lane) for m, b in alive), first=4, last=EPOCHS, final=True
    )
    lost = kept._replace(
        members=tuple(m._replace(lane=None) if i % 2 else m for i, m in enumerate(kept.members))
    )
    ends = trained(engine, kept)
    same(trained(engine, lost), ends)
    assert all(one.lane is None and one.block is not None for one in ends)
