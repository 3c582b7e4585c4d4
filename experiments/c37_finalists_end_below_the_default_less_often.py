"""Choosing within noise among finalists ends below the default less often than the best single score.

Claim    Choosing the simplest finalist within noise, by means over seeds, ends below the default less often
         than choosing the best validation score.                                              [catalogue C37]
Source   Schneider, Bischl & Feurer 2025 (arXiv:2506.19540); Cawley & Talbot 2010.
Judged   on 20 splits of eight real tables, four of scikit-learn's and four from the folder that
         WORKBENCH_DATA names (where it names none they are left out, and that is said): a search of 40 trials
         on at most 400 rows, its finalists and the default trained from three other seeds. The effect is the
         share of tables on which the choice scores below the default on held-out rows, mean over these
         seeds: that of the best single score less that of the simplest finalist within noise. Beside it the
         same of ten times as many simulated searches, whose truth is known.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn import datasets

import workbench as wb
from workbench.core.types import Choice, Examples, Fold, Range
from workbench.evaluation.predictor import decisions
from workbench.study.config.schema import SETTINGS
from workbench.study.runs import searched
from workbench.training.devices import configure
from workbench.training.engine import Engine
from workbench.tuning.finalists import choice, field
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.selection import FIRST_SEED, Delivered, contest, shortlist, train_again
from workbench.tuning.space import Problem

BUILT_IN = ("digits", "breast_cancer", "wine", "diabetes")
FILES = {"california": "MedHouseVal", "adult": "classification", "pol": "foo", "cpu_act": "usr"}
RULES = ("single", "best", "beyond-noise", "keep-default")
ROWS, TEST_ROWS, TRIALS, EPOCHS, SEEDS, WIDTHS = 400, 2_000, 40, 20, 3, (64,)
SPACE = {name: where.default for name, where in SETTINGS.items()} | {
    "epochs": EPOCHS, "depth": Range(1, 2, integer=True), "width": Range(8, 64, log=True, integer=True),
    "activation": Choice(("relu", "tanh")), "optimizer": Choice(("adam", "momentum")),
    "learning_rate": Range(1e-4, 1e-1, log=True), "l2": Range(1e-6, 1e-1, log=True),
    "dropout": Range(0.0, 0.5), "batch_size": Choice((32, 64)),
}  # fmt: skip


def run(seeds: int = 20, praised: str = "beyond-noise", other: str = "single") -> wb.Verdict:
    configure(None)
    known = _tables()
    gains = np.stack([_gains(x, y, seeds) for x, y in known.values()], axis=1)  # [S, tables, rules]
    below = (gains < -1e-9).mean(axis=1)  # [S, rules]
    figure = wb.strip(
        {rule: 100 * gains[:, :, k].mean(axis=1) for k, rule in enumerate(RULES)},
        title=f"What a search gains over its default, {len(known)} tables",
        x_label="gain on held-out rows, mean over tables (accuracy or R², in hundredths)",
    )
    facts = {f"below_default_{rule}": below[:, k].mean() for k, rule in enumerate(RULES)}
    facts |= {f"gain_{rule}": gains[:, :, k].mean() for k, rule in enumerate(RULES)}
    simulated = np.array([_simulated(np.random.default_rng(seed)) for seed in range(10 * seeds)])
    facts |= {f"simulated_below_{rule}": (simulated[:, k] < -1e-9).mean() for k, rule in enumerate(RULES)}
    facts |= {f"simulated_gain_{rule}": simulated[:, k].mean() for k, rule in enumerate(RULES)}
    return wb.verdict(
        below[:, RULES.index(other)] - below[:, RULES.index(praised)], figure=figure, tables=len(known),
        unit="share of studies below their default that the choice within noise spares", **facts,
    )  # fmt: skip


def _gains(x: np.ndarray, y: np.ndarray, seeds: int) -> np.ndarray:
    """By how much every rule's choice is better than the default on held-out rows, [S, rules]."""
    classes = int(y.max()) + 1 if y.ndim == 1 else 0
    splits = [_split(x, y, seed) for seed in range(seeds)]
    engine = Engine(lambda variant: splits[variant.division][0], capacity=EPOCHS, seed=0)
    task, rows = ("classification" if classes else "regression"), splits[0][0].train.x.shape
    problem = Problem(task, rows[1:], classes, 0 if classes else 1, rows[0])
    metric, maximize = "accuracy" if classes else "rmse", classes > 0
    plan = LanePlan(SPACE, lambda _: problem, metric, WIDTHS)
    found = []
    for seed, (_, *test) in enumerate(splits):
        search = searched(engine, plan, trials=TRIALS, division=seed, seed=seed)
        trials = shortlist(search.trials.values(), "maximize" if maximize else "minimize")
        trained = train_again(
            engine, plan, [one.params for one in trials],
            trainings=[(FIRST_SEED + k, seed) for k in range(SEEDS)], blocks=True,
        )  # fmt: skip
        whole = [k for k, agains in enumerate(trained) if not any(one.failed for one in agains)]
        trials, trained = [trials[k] for k in whole], [trained[k] for k in whole]  # the rest diverged
        finalists = contest(trials, trained, SPACE, maximize=maximize)
        scores = [np.mean([_score(engine, one.model, *test) for one in agains]) for agains in trained]
        kept = [0, *(choice(finalists, rule) for rule in RULES[1:])]
        found.append([scores[k] - scores[finalists.default] for k in kept])
    return np.array(found)


def _simulated(draw: np.random.Generator, trials: int = 40, rows: int = 120) -> list[float]:
    """By how much every rule's choice is truly better than the default, in a search whose truth is known.

    Whether a model is right on a row is decided by its quality, by how hard the row is, by what is peculiar
    to the configuration on the row and to the seed on the row, and by how well its seed trains as a whole.
    """
    quality, hard = 1.5 - 0.15 * draw.exponential(size=trials), draw.normal(size=rows)
    peculiar = 0.4 * draw.normal(size=(trials, rows))

    def right(which: np.ndarray) -> np.ndarray:
        seed = 0.1 * draw.normal(size=(len(which), 1)) + 0.5 * draw.normal(size=(len(which), rows))
        return (quality[which, None] + hard + peculiar[which] + seed > 0).astype(float)

    best = np.argsort(-right(np.arange(trials)).mean(axis=1), kind="stable")[:5]
    numbers = np.array([*best, *({0} - set(best.tolist()))])
    again = [right(numbers) for _ in range(SEEDS)]
    scores, sizes = np.stack([one.mean(axis=1) for one in again], axis=1), draw.permutation(len(numbers))
    default = numbers.tolist().index(0)
    finalists = field(
        scores, np.zeros(len(numbers)), sizes, again, [0] * SEEDS, default=default, maximize=True
    )
    kept = [0, *(choice(finalists, rule) for rule in RULES[1:])]
    truth = norm.cdf(quality[numbers] / np.sqrt(1 + 0.4**2 + 0.5**2 + 0.1**2))
    return [truth[k] - truth[default] for k in kept]


def _score(engine: Engine, model: Delivered, x: np.ndarray, y: np.ndarray) -> float:
    """Accuracy or R² on held-out rows."""
    said = engine.outputs(model.program.recipe, model.program.variant, model.hyper, model.params, x)
    return float((decisions(said) == y).mean() if y.ndim == 1 else 1 - ((said - y) ** 2).mean() / y.var())


def _split(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[Fold, np.ndarray, np.ndarray]:
    """Rows to train on and to choose by, and rows to hold out, in another order for each seed."""
    rows, order = min(ROWS, 0.6 * len(x)), np.random.default_rng(seed).permutation(len(x))
    train, validation, test, _ = np.split(order, np.cumsum([round(0.7 * rows), round(0.3 * rows), TEST_ROWS]))
    deviation = x[train].std(axis=0)
    x = (x - x[train].mean(axis=0)) / np.where(deviation > 1e-9, deviation, 1.0)
    x = x.clip(-10, 10).astype(np.float32)
    parts = [Examples(x[part], y[part], np.ones(len(part), np.float32)) for part in (train, validation)]
    mean, scale = (np.zeros(1), np.ones(1)) if y.ndim == 1 else (y[train].mean(axis=0), y[train].std(axis=0))
    return Fold(*parts, mean.astype(np.float32), scale.astype(np.float32)), x[test], y[test]


def _tables() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Features and target of every table that is here; class codes [N], or numbers [N, 1]."""
    found = {name: getattr(datasets, f"load_{name}")(return_X_y=True) for name in BUILT_IN}
    if not (folder := os.environ.get("WORKBENCH_DATA")):
        print(f"WORKBENCH_DATA names no folder: {', '.join(FILES)} are left out", file=sys.stderr)
    for name, target in FILES.items() if folder else ():
        frame = pd.read_csv(Path(folder) / f"{name}.csv", skipinitialspace=True)
        y = frame.pop(target)
        codes = y.to_numpy(float) if y.dtype.kind in "if" else y.factorize(sort=True)[0]
        found[name] = pd.get_dummies(frame).to_numpy(float), codes
    classes = {name: len(np.unique(y)) <= 10 for name, (_, y) in found.items()}
    return {
        name: (x, y.astype(np.int32) if classes[name] else y.astype(np.float32)[:, None])
        for name, (x, y) in found.items()
    }
