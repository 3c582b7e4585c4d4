"""`study`: the same 200-trial search, ours against the loops that users run today, cold start included.

Ours is the whole command `workbench run STUDY --search-only --json` in a fresh home: imports, compiling,
search, choice, report and MLflow. It is run as it stands (`asha`) and without pruning (`none`: as many
epochs as the peers). The peers run the whole study with --full. Else they run --trials of the 200, and the
rest is extrapolated: what the process takes outside its trials, plus the budget times the median seconds
that a trial takes with its ask and tell. That favors them, since Optuna asks more slowly as its history
grows.

    --quality   the best validation score of each over 5 seeds, whole studies (hours for the peers)

Goals: at least 20 times (a) pytorch_loop, 10 times (b) pytorch_batched and (c) sklearn_loop, equal scores.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from experiments.benchmarks.common import (
    Run,
    alternate,
    home,
    installed,
    machine,
    options,
    python,
    say,
    spread,
    workbench,
    write,
)
from experiments.benchmarks.digits import save_rows, study_file

__all__ = ["main"]

GOALS = {"pytorch_loop": 20.0, "pytorch_batched": 10.0, "sklearn_loop": 10.0}
OURS = ("asha", "none")


def main() -> None:
    """Measure, print, write."""
    chosen = options(
        __doc__,
        trials=(10, "trials of a peer"),
        budget=(200, "trials of the study"),
        epochs=(50, "epochs of a trial"),
        seeds=(5, "seeds of --quality"),
        full=(False, "let the peers run the whole study"),
        quality=(False, "compare scores over seeds instead of times"),
    )
    before = machine()
    peers = [name for name in GOALS if name == "sklearn_loop" or installed("torch")]
    if len(peers) < len(GOALS):
        say("PyTorch is not installed (pip install -e '.[peers]'): its loops are left out")
    with home() as folder:
        if chosen.quality:
            write("study-quality", _quality(chosen, peers, folder), before, chosen.results)
            return
        results = _times(chosen, peers, folder)
    for name, entry in results["ratios"].items():
        say(f"{name}: {', '.join(f'{mode} {ratio:.1f} times' for mode, ratio in entry.items())}")
    write("study", results, before, chosen.results)


def _times(chosen: Any, peers: list[str], folder: Path) -> dict[str, Any]:
    rows = folder / "rows.npz"
    save_rows(study_file(folder), rows)
    trials = chosen.budget if chosen.full else min(chosen.trials, chosen.budget)
    contenders: dict[str, Callable[[], Run]] = {}
    for pruner in OURS:
        study = study_file(folder, trials=chosen.budget, epochs=chosen.epochs, pruner=pruner)
        contenders[pruner] = partial(_ours, study)
    for name in peers:
        contenders[name] = partial(_peer, name, rows, trials, chosen.epochs, 0)
    runs = alternate(contenders, chosen.repeats)
    seconds = {pruner: [run.wall for run in runs[pruner]] for pruner in OURS}
    seconds |= {name: [_whole(run, chosen.budget) for run in runs[name]] for name in peers}
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = {name: {pruner: medians[name] / medians[pruner] for pruner in OURS} for name in peers}
    return {
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "processor_seconds": {pruner: spread([run.processor for run in runs[pruner]]) for pruner in OURS},
        "peer_trials": trials,
        "extrapolated": trials < chosen.budget,
        "ratios": ratios,
        "goals": {name: {"goal": GOALS[name], "met": ratios[name]["asha"] >= GOALS[name]} for name in peers},
        "ours": {
            pruner: {key: runs[pruner][-1].output[key] for key in ("seconds", "programs", "trials", "best")}
            for pruner in OURS
        },
    }


def _quality(chosen: Any, peers: list[str], folder: Path) -> dict[str, Any]:
    """Best validation accuracy by seed; the seed divides the rows as well, for everybody in the same way."""
    best: dict[str, list[float]] = {name: [] for name in (*OURS, *peers)}
    for seed in range(chosen.seeds):
        rows = folder / f"rows-{seed}.npz"
        save_rows(study_file(folder, seed=seed), rows)
        for pruner in OURS:
            study = study_file(folder, trials=chosen.budget, epochs=chosen.epochs, pruner=pruner, seed=seed)
            best[pruner].append(_ours(study).output["best"]["validation"])
        for name in peers:
            best[name].append(_peer(name, rows, chosen.budget, chosen.epochs, seed).output["best"])
        say(f"seed {seed}: {', '.join(f'{name} {scores[-1]:.4f}' for name, scores in best.items())}")
    return {"best_validation_accuracy": {name: spread(scores) for name, scores in best.items()}}


def _ours(study: Path) -> Run:
    with home() as folder:
        return workbench(study, folder)


def _peer(name: str, rows: Path, trials: int, epochs: int, seed: int) -> Run:
    with home() as folder:
        words = ["--data", rows, "--home", folder, "--trials", str(trials), "--epochs", str(epochs)]
        return python(name, *words, "--seed", str(seed), MLFLOW_DISABLE_TELEMETRY="true")


def _whole(run: Run, budget: int) -> float:
    """Seconds of a peer's whole study."""
    took = run.output["trials"]
    if len(took) >= budget:
        return run.wall
    around = (run.output["search"] - sum(took)) / len(took)  # asking and telling
    return run.wall - run.output["search"] + budget * (statistics.median(took) + around)


if __name__ == "__main__":
    main()
