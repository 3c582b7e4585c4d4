"""Axes that take part in some trials alone: `kernel = { low = 1, high = 3, if = { family = "cnn" } }`.

An axis takes part in a trial where every setting that its condition names has one of the values named there,
and an axis that takes no part meets no condition. Where it takes no part the setting is what it is in a study
that does not say, `otherwise`. An axis without a condition takes part in every trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from workbench.core.types import Axis, Choice, Condition, Range, Settings, Value


def axes(settings: Settings) -> dict[str, Axis]:
    """The settings that are searched, in the order of the study.

    What a condition asks of a fixed setting is settled here: the axis has that part of its condition no more,
    or is none.
    """
    searched = {name: value for name, value in settings.items() if isinstance(value, Range | Choice)}
    found: dict[str, Axis] = {}
    for name in ordered(searched):
        when = searched[name].when
        fixed = {key: settings[key] for key, _ in when if key not in searched}
        if all(key in found or (key in fixed and fixed[key] in wanted) for key, wanted in when):
            others = tuple(part for part in when if part[0] in found)
            found[name] = replace(searched[name], when=others) if fixed else searched[name]
    return {name: found[name] for name in searched if name in found}


def in_effect(axes: Mapping[str, Axis], value: Callable[[str, Axis], Value]) -> dict[str, Value]:
    """Values of the axes that take part, in the order of the study.

    Args:
        axes: Of the study.
        value: Of an axis, asked once it is known that it takes part, after those that it depends on.
    """
    taken: dict[str, Value] = {}
    for name in ordered(axes):
        if met(axes[name].when, taken):
            taken[name] = value(name, axes[name])
    return {name: taken[name] for name in axes if name in taken}


def met(when: Condition, values: Mapping[str, Value]) -> bool:
    """Whether settings have the values that a condition asks for."""
    return all(key in values and values[key] in wanted for key, wanted in when)


def ordered(axes: Mapping[str, Axis]) -> list[str]:
    """The names, each after those that its condition names; otherwise in the order of the study."""
    order: dict[str, None] = {}

    def add(name: str) -> None:
        for key, _ in axes[name].when:
            if key in axes and key not in order:
                add(key)
        order[name] = None

    for name in axes:
        if name not in order:
            add(name)
    return list(order)


def circle(axes: Mapping[str, Axis]) -> list[str]:
    """Axes of which each takes part by the next one, and the last by the first; empty if there are none."""

    def follow(path: list[str]) -> list[str]:
        for key, _ in axes[path[-1]].when:
            if key in path:
                return path[path.index(key) :]
            if key in axes and (found := follow([*path, key])):
                return found
        return []

    return next((found for name in axes if (found := follow([name]))), [])


def where_met(axes: Mapping[str, Axis], name: str) -> dict[str, Value]:
    """Values of other axes with which this one takes part."""
    values: dict[str, Value] = {}
    for key, wanted in axes[name].when:
        values |= {**where_met(axes, key), key: wanted[0]}
    return values


def widened(setting: Value | Axis) -> Value | Axis:
    """Everything that a setting may be, in or out of its condition, as an axis without one."""
    if not isinstance(setting, Range | Choice) or not setting.when or setting.otherwise is None:
        return setting
    other = setting.otherwise
    if isinstance(setting, Choice):
        known = setting.choices if other in setting.choices else (*setting.choices, other)
        return Choice(known)
    assert isinstance(other, int | float)
    low, high, step = min(setting.low, other), max(setting.high, other), setting.step
    if setting.integer:
        step = math.gcd(int(step or 1), int(abs(setting.low - other)))
    return Range(low, high, step=step if setting.integer else None, integer=setting.integer)


def of_family(settings: Settings, family: str) -> dict[str, Value | Axis]:
    """What settings may be in trials of one family, without conditions."""
    fixed = {name: value for name, value in settings.items() if not isinstance(value, Range | Choice)}
    known = {**fixed, "family": family}

    def one(setting: Value | Axis) -> Value | Axis:
        if not isinstance(setting, Range | Choice) or not setting.when or setting.otherwise is None:
            return setting
        if any(key in known and known[key] not in wanted for key, wanted in setting.when):
            return setting.otherwise
        left = tuple(part for part in setting.when if part[0] not in known)
        return widened(replace(setting, when=left, otherwise=setting.otherwise if left else None))

    return {name: one(setting) for name, setting in settings.items()}


def asked(when: Condition) -> str:
    """A condition in words: `family = cnn and depth = 2 or 3`."""
    return " and ".join(f"{key} = {' or '.join(map(str, values))}" for key, values in when)
