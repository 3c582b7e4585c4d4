"""`quality`: the best validation accuracy of the benchmark study, ours against the usual loops, by seed.

The searches of `study`, whole, over --seeds seeds; the seed divides the rows as well, for everybody in the
same way. Only scores count, so a loaded machine does no harm. PyTorch stands once: its loop and its batched
loop train and search alike and differ in how they log. The peers take hours; --only names contenders to run
again, and the scores of the others are kept from the record.

Goal: equal within the noise over seeds, by a paired t interval.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.common import Run, home, installed, machine, options, say, spread, write
from experiments.benchmarks.study import OURS, contenders
from workbench.evaluation.intervals import seed_spread

__all__ = ["main"]

PEERS = ("pytorch_batched", "sklearn_loop")


def main() -> None:
    """Search, compare, write."""
    chosen = options(
        __doc__,
        budget=(200, "trials of the study"),
        epochs=(50, "epochs of a trial"),
        seeds=(5, "seeds"),
        only=("", "contenders to run, with commas between: asha, none, pytorch_batched, sklearn_loop"),
    )
    before = machine()
    names = chosen.only.split(",") if chosen.only else [*OURS, *PEERS]
    if "pytorch_batched" in names and not installed("torch"):
        say("PyTorch is not installed (pip install -e '.[peers]'): its loop is left out")
        names.remove("pytorch_batched")
    kept = _recorded(chosen.results) if chosen.only else {}
    best: dict[str, list[float]] = {**kept, **{name: [] for name in names}}
    size = {"trials": chosen.budget, "budget": chosen.budget, "epochs": chosen.epochs}
    for seed in range(chosen.seeds):
        with home() as folder:
            searches = contenders(PEERS, folder, seed, **size)
            for name in names:
                best[name].append(_best(name, searches[name]()))
                say(f"  {name}, seed {seed}: {best[name][-1]:.4f}")
    results = {
        "best_validation_accuracy": {name: spread(scores) for name, scores in best.items()},
        "against": {
            f"{ours} - {peer}": _difference(best[ours], best[peer])
            for ours in OURS
            for peer in PEERS
            if len(best.get(ours, [])) == len(best.get(peer, [])) > 1
        },
    }
    for pair, figures in results["against"].items():
        difference = f"{figures['mean']:+.4f} ({figures['low']:+.4f} to {figures['high']:+.4f})"
        say(f"{pair}: {difference}", "equal within noise", met=figures["met"])
    write("quality", results, before, chosen.results)


def _best(name: str, run: Run) -> float:
    """The best validation accuracy that a whole search found."""
    found = run.output["best"]
    return float(found["validation"] if name in OURS else found)


def _difference(ours: list[float], theirs: list[float]) -> dict[str, Any]:
    """The mean difference by seed with its 95 % t interval, and whether ours is no worse within it."""
    found = seed_spread(np.subtract(ours, theirs))
    return {"mean": found.mean, "low": found.low, "high": found.high, "met": found.high >= 0.0}


def _recorded(folder: Path) -> dict[str, list[float]]:
    """The scores on record, by contender; none before the first record."""
    path = folder / "quality.json"
    if not path.exists():
        return {}
    figures = json.loads(path.read_text(encoding="utf-8"))["results"]["best_validation_accuracy"]
    return {name: scores["values"] for name, scores in figures.items()}


if __name__ == "__main__":
    main()
