"""The ladder of widths: which rooms the programs of a study have for hidden units.

A lane trains in the narrowest room that holds it, padded with zeros. More rooms pad less, and each one is a
program to compile. The ladder with the least sum of both, by the constants in `costs`, is decided once, when
a study begins, and recorded with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from workbench.core.types import Axis, Choice, Range, Settings, Value
from workbench.nn.models import n_parameters
from workbench.training.costs import Costs
from workbench.tuning import space
from workbench.tuning.samplers import Suggester
from workbench.tuning.space import Problem, Variant

#: Configurations drawn to see what a space is made of.
DRAWN = 128
#: Programs of a study, if its other settings allow: what a user waits for is never mostly compiling.
MOST = 6
#: Rooms are multiples of this many units, a vector of the processor, and of no more values than MOST_ROOMS.
UNITS, MOST_ROOMS = 8, 48


def rooms(
    settings: Settings,
    problem: Callable[[Variant], Problem],
    metric: str,
    *,
    lane_epochs: float,
    costs: Costs,
) -> tuple[int, ...]:
    """Rooms for the widths of a study, ascending; the last one holds them all.

    problem      what a variant of the data is to a program
    lane_epochs  epochs that the search may train, summed over trials

    Widths are taken as uniform over the axis, also on a log axis: samplers soon prefer the wide ones.
    """
    axis = settings["width"]
    if not isinstance(axis, Range | Choice):
        return (int(axis),)
    candidates = _candidates(axis)
    configurations = [space.resolve(settings, params) for params in drawn(space.axes(settings), DRAWN)]
    last = candidates[-1:]
    widest = {
        space.program(
            settings, {**values, "width": last[0]}, problem(space.variant(values)), metric, last
        ): values
        for values in configurations
    }
    seconds = []
    for room in candidates:
        epochs = [_epoch(values, room, problem, settings, metric, costs) for values in configurations]
        seconds.append(lane_epochs * sum(epochs) / len(epochs))
    shares = [_share(axis, room) for room in candidates]
    return _cheapest(candidates, shares, seconds, costs.compile * len(widest), max(1, MOST // len(widest)))


def drawn(axes: Mapping[str, Axis], count: int) -> list[dict[str, Value]]:
    """The default configuration and random ones, `count` in all; the same for the same axes."""
    random = Suggester(axes, sampler="random", seed=0, direction="minimize")
    return [space.default(axes), *random.suggest([], count - 1)]


def _epoch(
    values: Mapping[str, Value],
    room: int,
    problem: Callable[[Variant], Problem],
    settings: Settings,
    metric: str,
    costs: Costs,
) -> float:
    """Seconds of an epoch of this configuration in this room."""
    about = problem(space.variant(values))
    recipe = space.program(settings, {**values, "width": room}, about, metric, (room,)).recipe
    return costs.epoch(n_parameters(recipe, {**values, "width": room}), about.rows, recipe.batch)


def _candidates(axis: Axis) -> list[int]:
    if isinstance(axis, Choice):
        return sorted({int(choice) for choice in axis.choices})
    low, high = int(axis.low), int(axis.high)
    step = UNITS * -(-(high - low) // (UNITS * MOST_ROOMS)) or UNITS
    return [*range(-(-low // step) * step, high, step), high]


def _share(axis: Axis, room: int) -> float:
    """Of the widths, those that this room would hold."""
    if isinstance(axis, Choice):
        return sum(int(choice) <= room for choice in axis.choices) / len(axis.choices)
    return (room - axis.low + 1) / (axis.high - axis.low + 1)


def _cheapest(
    candidates: list[int], shares: list[float], seconds: list[float], compile_: float, most: int
) -> tuple[int, ...]:
    """The ladder with the least Σ share × seconds + rooms × compile, by dynamic programming.

    best[i] is the cheapest ladder whose highest room is candidate i, of one room, then of two, and so on.
    """
    last = len(candidates) - 1
    best: dict[int, tuple[float, tuple[int, ...]]] = {
        i: (share * seconds[i] + compile_, (i,)) for i, share in enumerate(shares)
    }
    cheapest = best[last]
    for higher in range(1, min(most, len(candidates))):
        best = {
            i: min(
                (best[j][0] + (shares[i] - shares[j]) * seconds[i] + compile_, (*best[j][1], i))
                for j in range(higher - 1, i)
            )
            for i in range(higher, len(candidates))
        }
        cheapest = min(cheapest, best[last])
    return tuple(candidates[i] for i in cheapest[1])
