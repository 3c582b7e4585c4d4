"""Which axes take part in a trial, held to a loop over all combinations; and what settings may be."""

from __future__ import annotations

import itertools

import pytest

from workbench.core import conditions
from workbench.core.types import Choice, Range, Settings, Value
from workbench.tuning.space import combinations, completed, default, resolve

CNN = (("family", ("cnn",)),)
SETTINGS: Settings = {
    "kernel": Range(1, 4, integer=True, when=(("pooling", ("max", "mean")),), otherwise=3),
    "pooling": Choice(("none", "max", "mean"), when=CNN, otherwise="max"),
    "family": Choice(("mlp", "cnn")),
    "depth": Range(1, 3, integer=True, when=(("family", ("mlp",)),), otherwise=2),
    "dropout": Choice((0.1, 0.3), when=(("depth", (2, 3)), ("family", ("mlp",))), otherwise=0.0),
    "learning_rate": 0.01,
}


def by_hand() -> set[tuple[tuple[str, Value], ...]]:
    """Every configuration: of all combinations, what is left when the axes without a part are taken out."""
    found = set()
    for kernel, pooling, family, depth, dropout in itertools.product(
        (1, 2, 3, 4), ("none", "max", "mean"), ("mlp", "cnn"), (1, 2, 3), (0.1, 0.3)
    ):
        one: dict[str, Value] = {"family": family}
        if family == "cnn":
            one["pooling"] = pooling
            if pooling != "none":
                one["kernel"] = kernel
        else:
            one["depth"] = depth
            if depth > 1:
                one["dropout"] = dropout
        found.add(tuple(sorted(one.items())))
    return found


def test_configurations_are_those_that_differ() -> None:
    axes = conditions.axes(SETTINGS)
    every = {
        tuple(sorted(conditions.in_effect(axes, lambda name, _, drawn=drawn: drawn[name]).items()))  # type: ignore[misc]
        for drawn in (
            dict(zip(axes, values, strict=True))
            for values in itertools.product(
                (1, 2, 3, 4), ("none", "max", "mean"), ("mlp", "cnn"), (1, 2, 3), (0.1, 0.3)
            )
        )
    }
    assert every == by_hand()
    assert combinations(axes) == len(by_hand()) == 14


def test_the_default_and_what_is_changed_in_it() -> None:
    axes = conditions.axes(SETTINGS)
    assert default(axes) == {"family": "mlp", "depth": 2, "dropout": 0.1}
    assert list(completed(axes, {"family": "cnn", "pooling": "mean"})) == ["kernel", "pooling", "family"]
    assert completed(axes, {"depth": 1}) == {"family": "mlp", "depth": 1}
    assert completed(axes, {"kernel": 4}) == default(axes)  # it has no part there


def test_where_an_axis_takes_no_part_the_setting_is_at_its_default() -> None:
    values = resolve(SETTINGS, {"family": "cnn", "pooling": "none"})
    assert values == {
        "kernel": 3, "pooling": "none", "family": "cnn", "depth": 2, "dropout": 0.0, "learning_rate": 0.01
    }  # fmt: skip


@pytest.mark.parametrize(("family", "left"), [("mlp", ["depth", "dropout"]), ("cnn", ["kernel", "pooling"])])
def test_a_fixed_setting_settles_its_part_of_a_condition(family: str, left: list[str]) -> None:
    axes = conditions.axes({**SETTINGS, "family": family})
    assert list(axes) == left
    assert all(key in axes for axis in axes.values() for key, _ in axis.when)
    assert combinations(axes) == {"mlp": 5, "cnn": 9}[family]


def test_a_circle_is_found() -> None:
    around = {
        "a": Choice((1, 2), when=(("b", (1,)),)),
        "b": Choice((1, 2), when=(("c", (1,)),)),
        "c": Choice((1, 2), when=(("b", (2,)),)),
    }
    assert conditions.circle(around) == ["b", "c"]
    assert conditions.circle(conditions.axes(SETTINGS)) == []


def test_a_program_has_room_for_what_its_family_may_be() -> None:
    of_mlp, of_cnn = (conditions.of_family(SETTINGS, family) for family in ("mlp", "cnn"))
    assert of_mlp["pooling"] == "max"
    assert of_mlp["depth"] == Range(1, 3, integer=True)
    assert of_mlp["dropout"] == Choice((0.1, 0.3, 0.0))  # of depth 1, too
    assert of_cnn["dropout"] == 0.0
    assert of_cnn["kernel"] == Range(1, 4, step=1, integer=True)
    wide = Range(16, 64, step=16, integer=True, when=CNN, otherwise=24)
    assert conditions.widened(wide) == Range(16, 64, step=8, integer=True)
    assert conditions.widened(Range(0.1, 0.5, log=True, when=CNN, otherwise=0.0)) == Range(0.0, 0.5)
