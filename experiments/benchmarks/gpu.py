"""`gpu`: the digits study with 4,096 trials on a GPU, lanes against throughput, and CNNs on MNIST.

Against a loop over trials in PyTorch on the same GPU, as `pytorch_batched` runs them but with the network
and the rows on the device: its trials per second are those of --peer-trials trials. The MNIST lanes need
mnist.npz in the folder that WORKBENCH_DATA names. Without a GPU that jax sees there is nothing to run, and
the benchmark says so.

Of lanes against throughput, the flat region is what studies train at once, found by the same function.

Goal: at least 200 times the trials per second of the PyTorch loop.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from experiments.benchmarks.common import (
    Run,
    home,
    installed,
    machine,
    options,
    python,
    say,
    spread,
    toml,
    workbench,
    write,
)
from experiments.benchmarks.digits import load_rows, save_rows, study_file
from experiments.benchmarks.step import NETWORKS
from workbench.training.lane_rates import flat_region

__all__ = ["main"]

GOAL = 200.0
LANES = ",".join(str(1 << k) for k in range(13))


def main() -> None:
    """Measure, print, write."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_pytorch(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
        return
    chosen = options(
        __doc__,
        trials=(4096, "trials of the study"),
        epochs=(50, "epochs of a trial"),
        peer_trials=(10, "trials of the PyTorch loop"),
        lanes=(LANES, "lanes of the populations"),
    )
    device = python("gpu_device").output
    if device["platform"] != "gpu":
        say(f"jax sees no GPU here, only {device['kind']}: nothing was measured")
        return
    before = {**machine(), "device": device}
    with home() as folder:
        save_rows(study_file(folder), folder / "rows.npz")
        results = {
            "study": _study(folder, chosen),
            "lanes": _lanes(
                python("step", "--child", "ours", folder / "rows.npz", "20", chosen.lanes).output
            ),
            "mnist": _mnist(folder, chosen.repeats),
        }
    write("gpu", results, before, chosen.results)


def _lanes(measured: dict[str, Any]) -> dict[str, Any]:
    """What `step` measured of every network, with its flat region."""
    for network in NETWORKS:
        micro = {int(lanes): found["microseconds"] for lanes, found in measured[network].items()}
        region = flat_region({lanes: 1e-6 * lanes * each for lanes, each in micro.items()})
        for lanes, each in micro.items():
            mark = "  <- flat up to here" if lanes == region else ""
            step, rate = lanes * each, 1e6 / each
            say(f"  {network}, {lanes} lanes: {step:.0f} us a step, {rate:.0f} steps of lanes a second{mark}")
        measured[network]["flat_region"] = region
    return measured


def _study(folder: Path, chosen: Any) -> dict[str, Any]:
    """Trials per second of whole studies, with and without pruning, and of the loop."""
    ours: dict[str, list[Run]] = {"asha": [], "none": []}
    theirs: list[float] = []
    for turn in range(chosen.repeats):
        for pruner, runs in ours.items():
            study = study_file(
                folder, trials=chosen.trials, epochs=chosen.epochs, pruner=pruner, sampler="random"
            )
            with home() as at:
                runs.append(workbench(study, at))
            say(f"  {pruner}, run {turn + 1}: {chosen.trials / runs[-1].wall:.1f} trials a second")
        if installed("torch"):
            rows = folder / "rows.npz"
            run = python("gpu", "--child", rows, str(chosen.peer_trials), str(chosen.epochs))
            if run.output is not None:
                theirs.append(run.output)
                say(f"  pytorch, run {turn + 1}: {run.output:.3f} trials a second")
    rates = {pruner: [chosen.trials / run.wall for run in runs] for pruner, runs in ours.items()}
    results: dict[str, Any] = {
        "trials_per_second": {pruner: spread(values) for pruner, values in rates.items()},
        "last": {pruner: runs[-1].output["seconds"] for pruner, runs in ours.items()},
    }
    if theirs:
        ratios = {pruner: statistics.median(rates[pruner]) / statistics.median(theirs) for pruner in rates}
        results |= {
            "pytorch_trials_per_second": spread(theirs),
            "ratios": ratios,
            "met": ratios["asha"] >= GOAL,
        }
        say(f"asha {ratios['asha']:.1f} times", f"{GOAL:.0f} times", met=results["met"])
    return results


def _pytorch(path: Path, trials: int, epochs: int) -> float | None:
    """Trials per second of the loop, logging left out; None if PyTorch sees no GPU."""
    import optuna
    import torch

    from experiments.benchmarks import torch_training
    from experiments.benchmarks.digits import space

    if not torch.cuda.is_available():
        return None
    rows = load_rows(path)
    x, y = torch.from_numpy(rows.x).cuda(), torch.from_numpy(rows.y).cuda()
    x_validation, y_validation = (
        torch.from_numpy(rows.x_validation).cuda(),
        torch.from_numpy(rows.y_validation).cuda(),
    )

    def objective(trial: optuna.Trial) -> float:
        params = space(trial)
        model = torch_training.network(params, x.shape[1], 10).cuda()
        optimizer = torch_training.optimizer(params, model)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        score = 0.0
        for _ in range(epochs):
            order = torch.randperm(len(x), device="cuda")
            batches = zip(
                x[order].split(params["batch_size"]), y[order].split(params["batch_size"]), strict=True
            )
            torch_training.train_epoch(model, optimizer, batches, "cuda")
            schedule.step()
            score, _ = torch_training.accuracy(model, x_validation, y_validation)
        return score

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=1)  # starts the GPU
    began = time.perf_counter()
    study.optimize(objective, n_trials=trials)
    return trials / (time.perf_counter() - began)


def _mnist(folder: Path, repeats: int) -> dict[str, Any] | None:
    """A search over CNNs on MNIST; None without the data."""
    data = os.environ.get("WORKBENCH_DATA")
    if not data or not (Path(data) / "mnist.npz").exists():
        say("WORKBENCH_DATA names no folder with mnist.npz: the CNN lanes are left out")
        return None
    trials = 64
    study = {
        "name": "benchmark-mnist-cnn",
        "data": {
            "source": str((Path(data) / "mnist.npz").absolute()),
            "split": {"train": 0.85, "validation": 0.15},
            "scale": "minmax",
        },
        "model": {"family": "cnn"},
        "optimizer": {"name": "adam", "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}},
        "training": {"epochs": 3, "batch_size": 128},
        "search": {"trials": trials, "sampler": "random", "pruner": "none", "seeds": 1},
        "select": {"metric": "accuracy"},
    }
    path = folder / "mnist.toml"
    path.write_text(toml(study), encoding="utf-8")
    walls, output = [], {}
    for _ in range(repeats):
        with home() as at:
            run = workbench(path, at)
        walls.append(run.wall)
        output = run.output
    say(f"MNIST: {trials / statistics.median(walls):.2f} CNNs of 3 epochs a second")
    return {"trials": trials, "seconds": spread(walls), "best": output["best"], "parts": output["seconds"]}


if __name__ == "__main__":
    main()
