"""`parallel`: what TPE's looks at what it has learnt are worth, by the trials that are in training at once.

The same budget is searched on small tables with 1, 4, 12 and 60 trials at a time, and by random search. What
counts is the best validation score, a log loss or an RMSE, as the logarithm of its ratio to that of random
search with the same seed; below zero is better. `batch` is what earlier versions asked for on two cores:
eight at a time, none of which is judged before nearly all are over.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from experiments.benchmarks.common import home, machine, options, say, write

__all__ = ["ARMS", "main", "summary"]

#: Sampler, trials at a time, launches that may be over before one is judged (None: as a study has them).
ARMS: dict[str, tuple[str, int, int | None]] = {
    "random": ("random", 60, None),
    "1": ("tpe", 1, None),
    "4": ("tpe", 4, None),
    "12": ("tpe", 12, None),
    "60": ("tpe", 60, None),
    "batch": ("tpe", 8, 7),
}
STUDY = """\
name = "parallel"
question = "What are looks worth?"
[data]
source = "{table}"
[model]
family     = "mlp"
depth      = 2
width      = {{ low = 4, high = 64, log = true }}
activation = {{ choices = ["relu", "tanh"] }}
[optimizer]
name          = {{ choices = ["adam", "momentum", "rmsprop"] }}
learning_rate = {{ low = 1e-4, high = 1e-1, log = true }}
[regularization]
l2      = {{ low = 1e-6, high = 1e-1, log = true }}
dropout = {{ low = 0.0, high = 0.5 }}
[training]
epochs     = 18
batch_size = {{ choices = [16, 32, 64] }}
[search]
trials = 60
[select]
metric = "{metric}"
"""


def main() -> None:
    """Measure, print, write."""
    chosen = options(
        __doc__,
        tables=("wine,breast_cancer,diabetes,spirals", "built-in tables"),
        trials=(60, "trials of a search"),
        seeds=(5, "seeds of the sampler"),
    )
    before, began = machine(), time.process_time()
    tables = chosen.tables.split(",")
    with home() as folder:
        searches = {table: _search(folder, table, chosen.trials) for table in tables}
        best = {
            arm: {table: [searches[table](arm, seed) for seed in range(chosen.seeds)] for table in tables}
            for arm in ARMS
        }
    seconds = time.process_time() - began
    write("parallel", {"best": best, **summary(best), "processor": seconds}, before, chosen.results)


def summary(best: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    """Say and return how each arm does against random search with the same seed."""
    found = {}
    for arm, tables in best.items():
        pairs = [pair for table in tables for pair in zip(tables[table], best["random"][table], strict=True)]
        better, worse = sum(one < other for one, other in pairs), sum(one > other for one, other in pairs)
        middle = statistics.median(math.log(one / other) for one, other in pairs)
        say(f"{arm}: better in {better}, worse in {worse} of {len(pairs)} searches; median {middle:+.3f}")
        found[arm] = {"better": better, "worse": worse, "median_log_ratio": middle}
    return found


def _search(folder: Path, table: str, trials: int) -> Callable[[str, int], float]:
    """Searches of a table, which share their programs: (arm, seed) -> the best validation score."""
    from workbench import data
    from workbench.study.config import read_study
    from workbench.study.preparations import Preparations
    from workbench.study.runs import searched
    from workbench.training.devices import configure
    from workbench.training.engine import Engine
    from workbench.tuning import space
    from workbench.tuning.lane_plan import LanePlan

    configure(folder / "cache")
    file = folder / f"{table}.toml"
    file.write_text(STUDY.format(table=table, metric="rmse" if table == "diabetes" else "log_loss"))
    study = read_study(file)
    dataset, _ = data.load(study.data)
    preparations = Preparations(dataset)
    problem = preparations.problem(space.variant(space.resolve(study.settings, {})))
    metric = "rmse" if table == "diabetes" else "log_loss"
    plan = LanePlan(study.settings, lambda _: problem, metric, (16, 64))
    engine = Engine(preparations.fold, capacity=plan.epochs, seed=0)

    def best(arm: str, seed: int) -> float:
        sampler, parallel, lag = ARMS[arm]
        search = searched(
            engine, plan, trials=trials, division=0, seed=seed,
            sampler=sampler, parallel=parallel, lag=lag,
        )  # fmt: skip
        return min(
            trial.value for trial in search.trials.values() if trial.state == "complete" and trial.value
        )

    return best


if __name__ == "__main__":
    main()
