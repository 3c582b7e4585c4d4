"""`busy`: how much of 2, 8, 16 and 64 devices a search keeps busy, by simulation with recorded durations.

A few configurations of the digits space are trained to the end, one after the other, and the processor
seconds of every one are taken. Then the scheduler of `workbench run` plays whole searches with them, on a
clock on which each device takes the next lane of its own accord: what it decides comes from the recorded
scores, how long it takes from the recorded seconds. A search has sixteen trials for each that trains at
once, which is the default, and as many devices as that. When nothing is left to be asked for, the last ones
train to their end, and devices run out of work whatever one does: the share up to then stands for itself.

What asking and judging cost the process that leads is not in it (`overhead` measures that). Beside it: how
busy devices are if every launch is judged at once (`no_lag`), or only when half as many as train are over
(`long_lag`); which share of the lane-epochs is trained, and how the best score compares with that of no
pruning.

Goal: 85 % of every device.
"""

from __future__ import annotations

import heapq
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

from experiments.benchmarks.common import home, machine, options, say, write
from experiments.benchmarks.digits import study_file

__all__ = ["Lane", "main", "played"]

GOAL = 0.85
DEVICES = (2, 8, 16, 64)
TRIALS_EACH = 16


class Lane(NamedTuple):
    """A configuration that was trained to the end."""

    cost: float  # of an epoch, as the scheduler reckons
    seconds: float  # of an epoch, as it was
    epochs: int  # that it trained: fewer than all if it stopped early
    scores: list[float]  # after each epoch
    losses: list[float]


def main() -> None:
    """Measure, print, write."""
    chosen = options(
        __doc__,
        lanes=(96, "configurations that are trained"),
        epochs=(50, "epochs of a trial"),
        patience=(0, "epochs without improvement before a lane stops; 0: never"),
    )
    before = machine()
    with home() as folder:
        lanes = _lanes(folder, chosen.lanes, chosen.epochs, chosen.patience)
    ratios = [lane.seconds / lane.cost for lane in lanes]
    middle = statistics.median(ratios)
    apart = statistics.median(abs(ratio / middle - 1) for ratio in ratios)
    say(f"the costs that the scheduler reckons with are {apart:.0%} off, the median lane")
    results: dict[str, Any] = {
        "costs_off": apart,
        "seconds": sum(lane.seconds * lane.epochs for lane in lanes),
    }
    for devices in DEVICES:
        found = {pruner: played(lanes, chosen.epochs, devices, pruner) for pruner in ("asha", "none")}
        asha, none = found["asha"], found["none"]
        lags = {"no_lag": 0, "long_lag": (devices - 1) // 2}
        other = {
            name: played(lanes, chosen.epochs, devices, "asha", lag=lag)["busy"] for name, lag in lags.items()
        }
        share = asha["lane_epochs"] / none["lane_epochs"]
        met = asha["busy"] >= GOAL
        say(f"{devices} devices: {asha['busy']:.1%} busy while trials are asked for", f"{GOAL:.0%}", met=met)
        say(f"  {asha['busy_to_the_end']:.1%} to the end; without pruning {none['busy']:.1%}")
        say(f"  {other['no_lag']:.1%} if nothing waits to be judged, {other['long_lag']:.1%} if half do")
        say(f"  {share:.2f} of the lane-epochs, best {asha['best']:.4f} against {none['best']:.4f}")
        results[str(devices)] = {**found, **other, "lane_epochs_ratio": share, "met": met}
    write("busy", results, before, chosen.results)


def played(
    lanes: list[Lane], epochs: int, devices: int, pruner: str, *, parallel: int = 0, lag: int | None = None
) -> dict[str, float]:
    """A search of such lanes on so many devices; `parallel` is the number of devices unless given."""
    from workbench.tuning.scheduler import Ask, LaneReport, Launch, Scheduler, lag_of

    parallel = parallel or devices
    search = Scheduler(
        total=TRIALS_EACH * parallel, epochs=epochs, pruner=pruner, parallel=parallel,
        lag=lag_of(parallel) if lag is None else lag, maximize=True,
    )  # fmt: skip
    free, over, spans = [0.0] * devices, {}, []
    now, asked, trained, best = 0.0, 0.0, 0, 0.0
    while (step := search.next()) is not None:
        if isinstance(step, Ask):
            first, asked = search.asked, now
            search.add(lanes[(first + i) % len(lanes)].cost for i in range(step.trials))
        elif isinstance(step, Launch):
            lane = lanes[step.trial % len(lanes)]
            count = max(0, min(step.last, lane.epochs) - step.first)
            begin = max(now, heapq.heappop(free))
            over[step.trial] = begin + lane.seconds * count
            heapq.heappush(free, over[step.trial])
            spans.append((begin, over[step.trial]))
            trained += count
        else:
            lane, last = lanes[step.launch.trial % len(lanes)], step.launch.last
            now = max(now, over[step.launch.trial])
            at = min(last, lane.epochs) - 1
            stopped = lane.epochs <= last and lane.epochs < epochs
            report = LaneReport("stopped" if stopped else "running", lane.scores[at], lane.losses[at])
            if search.judge(report).state == "complete":
                best = max(best, lane.scores[at])
    return {
        "busy": _share(spans, asked) / devices,
        "busy_to_the_end": _share(spans, max(free)) / devices,
        "lane_epochs": trained,
        "best": best,
        "seconds": max(free),
    }


def _share(spans: list[tuple[float, float]], until: float) -> float:
    """How many devices are at work, on average until then."""
    return sum(min(end, until) - begin for begin, end in spans if begin < until) / until


def _lanes(folder: Path, count: int, epochs: int, patience: int) -> list[Lane]:
    """Train the first configurations that a random search draws, each alone."""
    from workbench import data
    from workbench.study.config import read_study
    from workbench.study.preparations import Preparations
    from workbench.training.costs import COSTS
    from workbench.training.devices import configure
    from workbench.training.engine import Engine, Job
    from workbench.tuning.buckets import drawn, lane_plan

    configure(folder / "cache")
    more = {"regularization": {"early_stopping": {"patience": patience}}} if patience else {}
    study = read_study(study_file(folder, epochs=epochs, **more))
    dataset, _ = data.load(study.data)
    preparations = Preparations(dataset)
    plan = lane_plan(study.settings, preparations.problem, "accuracy", lane_epochs=3200.0, costs=COSTS["cpu"])
    engine = Engine(preparations.fold, capacity=epochs, seed=0)
    jobs, costs = [], []
    for number, params in enumerate(drawn(study.axes, count)):
        program, hyper = plan.lane(params, number)
        jobs.append(Job(program.recipe, program.variant, hyper, 0, epochs))
        costs.append(plan.epoch_seconds(params))
    engine.run_many([job._replace(last=1) for job in jobs])  # compiles
    found = []
    for job, cost in zip(jobs, costs, strict=True):
        began = time.process_time()
        (lane,) = engine.run_many([job])
        seconds = (time.process_time() - began) / max(1, lane.epochs)
        scores, losses = lane.curves.validation_score.tolist(), lane.curves.validation_loss.tolist()
        found.append(Lane(cost, seconds, lane.epochs, scores, losses))
    return found


if __name__ == "__main__":
    main()
