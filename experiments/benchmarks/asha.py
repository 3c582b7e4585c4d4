"""`asha`: asynchronous successive halving against no pruning, on digits and on house prices.

The same study twice, as `workbench run --search-only` runs it in a fresh home, over several seeds. The
house prices are `housing.csv` in the folder that WORKBENCH_DATA names; without it they are left out. A run
that is not counted fills the compilation cache first, which both find (--cold: none does).

Goals: the same best validation score, within the noise over seeds, for a third of the lane-epochs and less
than half of the wall time.
"""

from __future__ import annotations

import os
import shutil
import statistics
from pathlib import Path
from typing import Any

from experiments.benchmarks.common import Run, home, machine, options, say, spread, workbench, write
from experiments.benchmarks.digits import study_file

__all__ = ["main"]

PRUNERS = ("asha", "none")
GOAL_EPOCHS, GOAL_WALL = 1 / 3, 1 / 2


def main() -> None:
    """Measure, print, write."""
    chosen = options(
        __doc__,
        trials=(200, "trials of each study"),
        epochs=(50, "epochs of a trial"),
        seeds=(3, "seeds, a run of both each"),
        cold=(False, "let every run compile"),
    )
    before = machine()
    sources = {"digits": {}}
    folder = os.environ.get("WORKBENCH_DATA")
    if folder:
        sources["housing"] = _housing(Path(folder))
    else:
        say("WORKBENCH_DATA names no folder with housing.csv: house prices are left out")
    results = {source: _compare(source, tables, chosen) for source, tables in sources.items()}
    write("asha", results, before, chosen.results)


def _compare(source: str, tables: dict[str, Any], chosen: Any) -> dict[str, Any]:
    figures: dict[str, list[dict[str, float]]] = {pruner: [] for pruner in PRUNERS}
    with home() as folder:
        cache = folder / "cache"
        for seed in range(chosen.seeds):
            for pruner in PRUNERS:
                study = study_file(
                    folder, trials=chosen.trials, epochs=chosen.epochs, seed=seed, pruner=pruner,
                    name=f"benchmark-{source}", **tables,
                )  # fmt: skip
                if not chosen.cold and seed == 0:
                    _run(study, cache)
                figures[pruner].append(_run(study, None if chosen.cold else cache))
                say(f"  {source}, seed {seed}, {pruner}: {figures[pruner][-1]}")
    medians = {
        pruner: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for pruner, runs in figures.items()
    }
    epochs = medians["asha"]["lane_epochs"] / medians["none"]["lane_epochs"]
    wall = medians["asha"]["seconds"] / medians["none"]["seconds"]
    scores = {pruner: spread([run["best"] for run in runs]) for pruner, runs in figures.items()}
    best = ", ".join(f"{pruner} {figure['best']:.4g}" for pruner, figure in medians.items())
    met = {"lane_epochs": epochs <= GOAL_EPOCHS, "wall": wall < GOAL_WALL}
    say(f"{source}: best {best}")
    say(f"  {epochs:.2f} of the lane-epochs", f"{GOAL_EPOCHS:.2f}", met=met["lane_epochs"])
    say(f"  {wall:.2f} of the wall time", f"below {GOAL_WALL}", met=met["wall"])
    return {
        "best": scores,
        "medians": medians,
        "lane_epochs_ratio": epochs,
        "wall_ratio": wall,
        "met": met,
    }


def _run(study: Path, cache: Path | None) -> dict[str, float]:
    """One search in a fresh home; with `cache`, what it compiles is kept there and found there."""
    from workbench.storage import outcomes

    with home() as folder:
        at = folder / "home"
        if cache is not None and cache.exists():
            shutil.copytree(cache, at / "cache")
        run: Run = workbench(study, at)
        if cache is not None:
            shutil.copytree(at / "cache", cache, dirs_exist_ok=True)
        outcome = outcomes.load(at / "studies" / run.output["study"])
    assert outcome is not None
    return {
        "seconds": run.wall,
        "processor_seconds": run.processor,
        "lane_epochs": float(sum(trial.epochs for trial in outcome.trials)),
        "best": run.output["best"]["validation"],
    }


def _housing(folder: Path) -> dict[str, Any]:
    return {
        "data": {"source": str((folder / "housing.csv").absolute()), "target": "median_house_value"},
        "optimizer": {"name": "adam", "learning_rate": {"low": 3e-4, "high": 3e-2, "log": True}},
        "training": {"batch_size": {"choices": [128, 256]}},
        "select": {"metric": "rmse"},
    }


if __name__ == "__main__":
    main()
