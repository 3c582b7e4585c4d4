"""Choosing among finalists within noise ends below the default less often than the best single score.

Claim    Choosing the simplest finalist within noise, by means over seeds, ends below the default less often
         than choosing the best validation score.                                              [catalogue C37]
Source   Schneider, Bischl & Feurer 2025 (arXiv:2506.19540); Cawley & Talbot 2010.
Judged   on 20 splits of eight real tables, four of which are scikit-learn's and four lie in the folder that
         WORKBENCH_DATA names (they are left out, and that is said, where it names none): a search of 40
         trials on at most 400 rows, its finalists and the default trained from three other seeds. The effect
         is the share of tables on which the choice is worse than the default on held-out rows, mean over
         these seeds: of the best single score, less that of the simplest finalist within noise.
"""

import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

import workbench as wb
from workbench import parts, space, trial
from workbench.checkpoints import Store
from workbench.devices import configure
from workbench.engine import Engine
from workbench.finalists import choice, field
from workbench.loop import Search
from workbench.models import n_parameters
from workbench.predictor import decisions
from workbench.ranking import counted_loss
from workbench.scheduler import Scheduler
from workbench.select import FIRST_SEED, Delivered, shortlist, train_again
from workbench.study_schema import SETTINGS as DEFAULTS
from workbench.suggest import Suggester
from workbench.types import Axis, Choice, Examples, Fold, Range
from workbench.widths import widths

BUILT_IN = ("digits", "breast_cancer", "wine", "diabetes")
FILES = {"california": "MedHouseVal", "adult": "classification", "pol": "foo", "cpu_act": "usr"}
RULES = ("single", "best", "beyond-noise")
ROWS, TEST_ROWS, TRIALS, EPOCHS, SEEDS = 400, 2_000, 40, 20, 3
AXES: dict[str, Axis] = {
    "depth": Range(1, 2, integer=True), "width": Range(8, 64, log=True, integer=True),
    "activation": Choice(("relu", "tanh")), "optimizer": Choice(("adam", "momentum")),
    "learning_rate": Range(1e-4, 1e-1, log=True), "l2": Range(1e-6, 1e-1, log=True),
    "dropout": Range(0.0, 0.5), "batch_size": Choice((32, 64)),
}  # fmt: skip
SETTINGS = {name: AXES.get(name, where.default) for name, where in DEFAULTS.items()} | {"epochs": EPOCHS}


def run(seeds: int = 20, praised: str = "beyond-noise", other: str = "single") -> wb.Verdict:
    configure(None)
    tables = _tables()
    gains = np.stack([_gains(x, y, seeds) for x, y in tables.values()], axis=1)  # [S, tables, rules]
    below = {rule: (gains[:, :, k] < -1e-9).mean(axis=1) for k, rule in enumerate(RULES)}
    figure = wb.strip(
        {rule: 100 * gains[:, :, k].mean(axis=1) for k, rule in enumerate(RULES)},
        title=f"What a search gains over the default, {len(tables)} tables",
        x_label="accuracy or R² on held-out rows, hundredths, mean over tables",
    )
    facts = {f"below_{rule}": below[rule].mean() for rule in RULES}
    facts |= {f"gain_{rule}": gains[:, :, k].mean() for k, rule in enumerate(RULES)}
    return wb.verdict(
        below[other] - below[praised], figure=figure, tables=len(tables),
        unit="share of studies below their default that choosing within noise spares", **facts,
    )  # fmt: skip


def _gains(x: np.ndarray, y: np.ndarray, seeds: int) -> np.ndarray:
    """Test score of every rule's choice less that of the default, [S, rules]: accuracy, or R²."""
    classes = int(y.max()) + 1 if y.dtype.kind == "i" else 0
    splits = [_split(x, y, seed) for seed in range(seeds)]
    engine = Engine(lambda variant: splits[variant.division][0], capacity=EPOCHS, seed=0)
    shape, metric = splits[0][0].train.x.shape, "accuracy" if classes else "rmse"
    task = "classification" if classes else "regression"
    problem = space.Problem(task, shape[1:], classes, 0 if classes else 1, shape[0])
    return np.array([
        _compared(engine, problem, metric, seed, *test) for seed, (_, *test) in enumerate(splits)
    ])  # fmt: skip


def _compared(
    engine: Engine, problem: space.Problem, metric: str, split: int, x: np.ndarray, y: np.ndarray
) -> list[float]:
    """One search, and what each rule makes of it."""
    direction = "minimize" if metric == "rmse" else "maximize"
    search = _search(engine, problem, metric, direction, split)
    trials = shortlist(search.trials.values(), direction)
    trained = train_again(
        engine, SETTINGS, lambda _: problem, metric, [one.params for one in trials], rooms=(64,),
        width=widths(engine.mesh, TRIALS)[-1], blocks=True,
        trainings=[(FIRST_SEED + seed, split) for seed in range(SEEDS)],
    )  # fmt: skip
    pairs = [
        (one, each) for one, each in zip(trials, trained, strict=True) if not any(e.failed for e in each)
    ]
    trials, trained = [one for one, _ in pairs], [each for _, each in pairs]
    tested = np.array([np.mean([_score(engine, again.model, x, y) for again in each]) for each in trained])
    recipe = trained[0][0].model.program.recipe
    finalists = field(
        np.array([[again.record.validation for again in each] for each in trained]),
        np.array([np.mean([counted_loss(again.record) for again in each]) for each in trained]),
        np.array([n_parameters(recipe, space.resolve(SETTINGS, one.params)) for one in trials]),
        [np.stack([each[k].block for each in trained]) for k in range(SEEDS)],
        [split] * SEEDS,
        default=(default := [one.number for one in trials].index(0)),
        maximize=direction == "maximize",
    )  # fmt: skip
    kept = {"single": 0, **{rule: choice(finalists, rule) for rule in RULES[1:]}}
    return [tested[kept[rule]] - tested[default] for rule in RULES]


def _search(engine: Engine, problem: space.Problem, metric: str, direction: str, split: int) -> Search:
    with tempfile.TemporaryDirectory() as folder:
        search = Search(
            settings=SETTINGS,
            lane=lambda params, seed, division: trial.lane_of(
                SETTINGS, params, lambda _: problem, metric, (64,), seed=seed, division=division
            ),
            divisions=lambda _: (split,),
            scheduler=Scheduler(
                total=TRIALS, epochs=EPOCHS, pruner="asha", widths=widths(engine.mesh, TRIALS),
                maximize=direction == "maximize",
            ),
            engine=engine,
            train=partial(parts.train, engine),
            suggest=Suggester(AXES, sampler="tpe", seed=split, direction=direction).suggest,
            enough=lambda *_: None,
            commit=lambda _: None,
            store=Store(Path(folder)),
        )  # fmt: skip
        for _ in search.rounds():
            pass
    return search


def _score(engine: Engine, model: Delivered, x: np.ndarray, y: np.ndarray) -> float:
    """Accuracy or R² on held-out rows."""
    said = engine.outputs(model.program.recipe, model.program.variant, model.hyper, model.params, x)
    if y.ndim == 1:
        return float((decisions(said) == y).mean())
    return float(1 - ((said - y) ** 2).mean() / y.var())


def _split(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[Fold, np.ndarray, np.ndarray]:
    """Rows to train on, to choose by and to hold out, in another order for each seed."""
    order = np.random.default_rng(seed).permutation(len(x))
    ends = np.cumsum([round(0.7 * min(ROWS, 0.6 * len(x))), round(0.3 * min(ROWS, 0.6 * len(x)))])
    train, validation, test = np.split(order[: ends[1] + TEST_ROWS], ends)
    mean, deviation = x[train].mean(axis=0), x[train].std(axis=0)
    x = ((x - mean) / np.where(deviation > 1e-9, deviation, 1.0)).clip(-10, 10).astype(np.float32)
    numbers = y.ndim == 2
    shift = y[train].mean(axis=0) if numbers else np.zeros(1, np.float32)
    scale = y[train].std(axis=0) if numbers else np.ones(1, np.float32)
    examples = [Examples(x[rows], y[rows], np.ones(len(rows), np.float32)) for rows in (train, validation)]
    return Fold(*examples, shift, scale), x[test], y[test]


def _tables() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Features and target of every table that is here; int32 classes [N], or numbers [N, 1]."""
    found = {name: getattr(datasets, f"load_{name}")(return_X_y=True) for name in BUILT_IN}
    folder = os.environ.get("WORKBENCH_DATA")
    if folder is None:
        print(f"WORKBENCH_DATA names no folder: {', '.join(FILES)} are left out", file=sys.stderr)
    for name, target in FILES.items() if folder else ():
        frame = pd.read_csv(Path(folder) / f"{name}.csv", skipinitialspace=True)
        y = frame.pop(target)
        codes = y.factorize(sort=True)[0] if y.dtype.kind not in "if" else y.to_numpy(float)
        found[name] = (pd.get_dummies(frame).to_numpy(float), codes)
    return {
        name: (x, y.astype(np.int32) if len(np.unique(y)) <= 10 else y.astype(np.float32)[:, None])
        for name, (x, y) in found.items()
    }
