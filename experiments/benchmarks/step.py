"""`step`: one training step of one trial, by number of lanes, against a PyTorch loop.

Two networks on the rows of the digits, with two hidden layers each and Adam: 64-64-10 with batches of 32,
and 256-256-10 with batches of 128. Ours is `Engine.run` for whole epochs, with its validation and its
copies to and from the host. PyTorch runs the same network one trial after the other: as its examples do,
with a DataLoader, and as fast as a plain loop gets, slicing a tensor that was shuffled once an epoch.

Operations are 6 for each weight and row of a step and 2 for each weight and row of a validation. The
machine's rate is what a float32 product of two matrices of 2,048 rows reaches on all cores.

The constants of `workbench.training.costs`, by which a study's programs are decided, are printed beside what
was measured here.

Goals: at least 40 times PyTorch's loop; at least 55 % of the machine's rate.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.common import home, installed, machine, options, python, say, spread, write
from experiments.benchmarks.digits import Rows, load_rows, save_rows, study_file

__all__ = ["main"]

GOAL, GOAL_SHARE = 40.0, 0.55
#: name -> width of both hidden layers, rows of a batch
NETWORKS = {"64-64-10, batch 32": (64, 32), "256-256-10, batch 128": (256, 128)}
LANES = (1, 2, 4, 8, 16, 32, 64)


def main() -> None:
    """Measure, print, write."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_child(*sys.argv[2:])))
        return
    chosen = options(
        __doc__,
        epochs=(20, "epochs of ours in a run"),
        lanes=(",".join(map(str, LANES)), "lanes of the populations"),
    )
    before = machine()
    contenders = {"ours": chosen.lanes}
    if installed("torch"):
        contenders |= {"pytorch_loader": "", "pytorch_slices": ""}
    results: dict[str, Any] = {}
    with home() as folder:
        save_rows(study_file(folder), folder / "rows.npz")
        measured: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
        for turn in range(chosen.repeats):
            for name, lanes in contenders.items():
                run = python("step", "--child", name, folder / "rows.npz", str(chosen.epochs), lanes)
                measured[name].append(run.output)
                say(f"  {name}, run {turn + 1}: {run.wall:.1f} s")
    rates = [run["matmul"] for run in measured["ours"]]
    results["costs"] = _costs(measured["ours"])
    results["matmul_gflops"] = spread(rates)
    for network in NETWORKS:
        results[network] = _summary(network, measured, statistics.median(rates))
    write("step", results, before, chosen.results)


def _summary(network: str, measured: dict[str, list[dict[str, Any]]], rate: float) -> dict[str, Any]:
    """Medians of one network, and what they come to."""
    ours = {
        lanes: spread([run[network][lanes]["microseconds"] for run in measured["ours"]])
        for lanes in measured["ours"][0][network]
    }
    gflops = {
        lanes: statistics.median(run[network][lanes]["gflops"] for run in measured["ours"]) for lanes in ours
    }
    best = min(ours, key=lambda lanes: ours[lanes]["median"])
    share = gflops[best] / rate
    summary: dict[str, Any] = {
        "microseconds_by_lanes": ours,
        "best_lanes": int(best),
        "gflops": gflops,
        "share_of_matmul": share,
        "share_met": share >= GOAL_SHARE,
    }
    say(
        f"{network}: {ours[best]['median']:.1f} us at {best} lanes, {share:.0%} of the machine's rate",
        f"{GOAL_SHARE:.0%}", met=summary["share_met"],
    )  # fmt: skip
    for name, runs in measured.items():
        if name == "ours":
            continue
        theirs = spread([run[network] for run in runs])
        ratio = theirs["median"] / ours[best]["median"]
        met = ratio >= GOAL
        summary[name] = {"microseconds": theirs, "ratio": ratio, "met": met}
        say(f"  {name}: {theirs['median']:.0f} us, {ratio:.1f} times", f"{GOAL:.0f} times", met=met)
    return summary


def _costs(ours: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Seconds to compile a program alone, operations a second of a device: measured, and as written down."""
    compile_ = statistics.median(run["compile"] / len(NETWORKS) for run in ours)
    rate = statistics.median(
        max(run[network][lanes]["gflops"] for network in NETWORKS for lanes in run[network])
        / run["constants"]["devices"]
        for run in ours
    )
    constants = ours[0]["constants"]
    say(
        f"a program compiles in {compile_:.1f} s (costs: {constants['compile']:.1f}), "
        f"a device trains at {rate:.0f} GFLOP/s (costs: {constants['rate'] / 1e9:.0f})"
    )
    return {"measured": {"compile": compile_, "rate": 1e9 * rate}, "constants": constants}


def _child(name: str, rows: str, epochs: str, lanes: str) -> dict[str, Any]:
    data = load_rows(Path(rows))
    if name == "ours":
        return _ours(data, int(epochs), [int(number) for number in lanes.split(",")])
    return _pytorch(data, loader=name == "pytorch_loader")


def _ours(rows: Rows, epochs: int, lanes: list[int]) -> dict[str, Any]:
    """Microseconds of a lane's step for every network and number of lanes."""
    import jax

    from workbench.core.types import Examples, Fold
    from workbench.nn.recipe import Recipe
    from workbench.training.costs import costs_of
    from workbench.training.devices import configure
    from workbench.training.engine import Engine
    from workbench.training.population import power_of_two

    configure(None)
    result: dict[str, Any] = {"matmul": _matmul_rate(), "compile": 0.0}
    features = rows.x.shape[1]

    def examples(x: np.ndarray, y: np.ndarray) -> Examples:
        return Examples(x, y.astype(np.int32), np.ones(len(x), np.float32))

    fold = Fold(
        examples(rows.x, rows.y),
        examples(rows.x_validation, rows.y_validation),
        np.zeros(1, np.float32),
        np.ones(1, np.float32),
    )
    for network, (width, batch) in NETWORKS.items():
        recipe = Recipe(
            "mlp", (features,), 10, "cross_entropy", "accuracy", depth=2, width=width, activations=("relu",),
            initializers=("he_normal",), optimizers=("adam",), batch=batch,
        )  # fmt: skip
        weights = features * width + width * width + width * 10
        operations = epochs * weights * (6 * len(rows.x) + 2 * len(rows.x_validation))
        steps = epochs * -(-len(rows.x) // batch)
        result[network] = {}
        for i, number in enumerate(lanes):
            engine = Engine(lambda variant: fold, capacity=epochs, seed=0, lanes=power_of_two(number))
            seconds = _train(engine, recipe, number, epochs)
            result["compile"] += 0.0 if i else engine.seconds["compile"]
            result["constants"] = costs_of(jax.default_backend())._asdict()
            result[network][str(number)] = {
                "microseconds": 1e6 * seconds / steps / number,
                "gflops": operations * number / seconds / 1e9,
            }
    return result


def _train(engine: Any, recipe: Any, lanes: int, epochs: int) -> float:
    """Seconds of the second run: the first one compiles."""
    from workbench.nn.recipe import Hyperparameters
    from workbench.training.engine import Job

    def lane(seed: int) -> Hyperparameters:
        whole = {"depth": 2, "width": recipe.width, "batch_size": recipe.batch, "epochs": epochs}
        real = {"init_scale": 0.05, "learning_rate": 1e-3, "momentum": 0.9, "beta2": 0.999, "clip": np.inf}
        integers = (
            "depth",
            "width",
            "activation",
            "initializer",
            "optimizer",
            "schedule",
            "batch_size",
            "epochs",
            "patience",
        )
        values = {
            name: np.int32(whole.get(name, 0)) if name in integers else np.float32(real.get(name, 0.0))
            for name in Hyperparameters._fields
        }
        return Hyperparameters(**{**values, "seed": np.uint32(seed)})

    took = 0.0
    for _ in range(2):
        began = time.perf_counter()
        engine.run_many([Job(recipe, "rows", lane(seed), 0, epochs) for seed in range(lanes)])
        took = time.perf_counter() - began
    return took


def _matmul_rate(size: int = 2048, times: int = 5) -> float:
    """Billions of operations a second of a large float32 product on all devices at once, the best of some."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding, PartitionSpec

    from workbench.training.population import mesh_of_host

    mesh = mesh_of_host()
    shape = (mesh.size, size, size)
    split = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))
    a = jax.device_put(np.random.default_rng(0).normal(size=shape).astype(np.float32), split)
    product = jax.jit(jax.shard_map(
        lambda x: jnp.matmul(x[0], x[0])[None], mesh=mesh, in_specs=split.spec, out_specs=split.spec
    ))  # fmt: skip
    jax.block_until_ready(product(a))
    best = 0.0
    for _ in range(times):
        began = time.perf_counter()
        jax.block_until_ready(product(a))
        best = max(best, mesh.size * 2 * size**3 / (time.perf_counter() - began) / 1e9)
    return best


def _pytorch(rows: Rows, *, loader: bool, epochs: int = 5) -> dict[str, float]:
    """Microseconds of a step for every network."""
    import torch

    from experiments.benchmarks import torch_training

    result = {}
    x, y = torch.from_numpy(rows.x), torch.from_numpy(rows.y)
    for network, (width, batch) in NETWORKS.items():
        params = {
            "depth": 2, "width": width, "activation": "relu", "dropout": 0.0, "optimizer": "adam",
            "learning_rate": 1e-3, "l2": 0.0,
        }  # fmt: skip
        model = torch_training.network(params, x.shape[1], 10)
        optimizer = torch_training.optimizer(params, model)
        batches = torch_training.loader(rows, batch)
        steps = -(-len(x) // batch)
        took = []
        for _ in range(epochs):
            began = time.perf_counter()
            if not loader:
                order = torch.randperm(len(x))
                batches = zip(x[order].split(batch), y[order].split(batch), strict=True)
            torch_training.train_epoch(model, optimizer, batches)
            took.append((time.perf_counter() - began) / steps)
        result[network] = 1e6 * statistics.median(took[1:])
    return result


if __name__ == "__main__":
    main()
