"""The widths that the programs of a study are compiled for: buckets for its numbers of hidden units.

A lane trains in the narrowest bucket that holds it, padded with zeros. More buckets pad less, and each one is
a program to compile. Those with the least sum of both, by the constants in `costs`, are decided once, when a
study begins, and recorded with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from workbench.core.conditions import widened
from workbench.core.types import Axis, Choice, Range, Settings, Value
from workbench.training.costs import Costs
from workbench.tuning import space
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.samplers import Suggester
from workbench.tuning.space import Problem, Variant

#: Configurations drawn to see what a space is made of.
DRAWN = 128
#: Programs of a study, if its other settings allow: what a user waits for is never mostly compiling.
MOST = 6
#: Buckets are multiples of this many units, a vector of the processor, and of no more values than CANDIDATES.
UNITS, CANDIDATES = 8, 48


def lane_plan(
    settings: Settings,
    problem: Callable[[Variant], Problem],
    metric: str,
    *,
    lane_epochs: float,
    costs: Costs,
) -> LanePlan:
    """The plan of a study that begins, with the widths that its programs are compiled for.

    Args:
        settings: of the study.
        problem: what a variant of the data is to a program.
        metric: by which epochs and trials are judged.
        lane_epochs: epochs that the search may train, summed over trials.
        costs: of compiling and training on the machine.

    Widths are taken as uniform over the axis, also on a log axis: samplers soon prefer the wide ones.
    """
    axis = widened(settings["width"])
    if not isinstance(axis, Range | Choice):
        return LanePlan(settings, problem, metric, (int(axis),))
    candidates = _candidates(axis)
    configurations = drawn(space.axes(settings), DRAWN)
    widest = LanePlan(settings, problem, metric, (candidates[-1],))
    programs = {widest.lane({**params, "width": candidates[-1]}, 0)[0] for params in configurations}
    seconds = []
    for width in candidates:
        one = LanePlan(settings, problem, metric, (width,))
        epochs = [one.epoch_seconds({**params, "width": width}, costs) for params in configurations]
        seconds.append(lane_epochs * sum(epochs) / len(epochs))
    shares = [_share(axis, width) for width in candidates]
    most = max(1, MOST // len(programs))
    return LanePlan(
        settings, problem, metric, _cheapest(candidates, shares, seconds, costs.compile * len(programs), most)
    )


def drawn(axes: Mapping[str, Axis], count: int) -> list[dict[str, Value]]:
    """The default configuration and random ones, `count` in all; the same for the same axes."""
    random = Suggester(axes, sampler="random", seed=0, direction="minimize")
    return [space.default(axes), *random.suggest([], count - 1)]


def _candidates(axis: Axis) -> list[int]:
    if isinstance(axis, Choice):
        return sorted({int(choice) for choice in axis.choices})
    low, high = int(axis.low), int(axis.high)
    step = UNITS * -(-(high - low) // (UNITS * CANDIDATES)) or UNITS
    return [*range(-(-low // step) * step, high, step), high]


def _share(axis: Axis, width: int) -> float:
    """Of the widths, those that this bucket would hold."""
    if isinstance(axis, Choice):
        return sum(int(choice) <= width for choice in axis.choices) / len(axis.choices)
    return (width - axis.low + 1) / (axis.high - axis.low + 1)


def _cheapest(
    candidates: list[int], shares: list[float], seconds: list[float], compile_: float, most: int
) -> tuple[int, ...]:
    """The buckets with the least Σ share × seconds + buckets × compile, by dynamic programming.

    best[i] are the cheapest whose widest is candidate i: of one bucket, then of two, and so on.
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
