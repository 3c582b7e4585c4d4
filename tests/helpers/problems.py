"""Small problems that several test files train on."""

from __future__ import annotations

import numpy as np

from workbench.core.types import Examples, Fold
from workbench.nn.recipe import Hyperparameters, Recipe

LARGEST_SEED = 2**31


def blobs(rows: int = 90, features: int = 5, classes: int = 3, seed: int = 0) -> Fold:
    """Overlapping Gaussian classes, two thirds for training."""
    draw = np.random.default_rng(seed)
    centers = 2.0 * draw.normal(size=(classes, features))
    y = draw.integers(0, classes, rows).astype(np.int32)
    x = (centers[y] + draw.normal(size=(rows, features))).astype(np.float32)
    cut = 2 * rows // 3
    return fold(x[:cut], y[:cut], x[cut:], y[cut:])


def line(rows: int = 60, features: int = 4, noise: float = 0.1, seed: int = 0) -> Fold:
    """A linear function of standard normal features."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, features)).astype(np.float32)
    y = (x @ np.arange(1.0, features + 1.0) + 3.0 + noise * draw.normal(size=rows)).astype(np.float32)[
        :, None
    ]
    cut = 2 * rows // 3
    shift, scale = y[:cut].mean(axis=0), y[:cut].std(axis=0)
    return fold(x[:cut], y[:cut], x[cut:], y[cut:])._replace(shift=shift, scale=scale)


def fold(
    x_train: np.ndarray, y_train: np.ndarray, x_validation: np.ndarray, y_validation: np.ndarray
) -> Fold:
    """All rows of weight one, targets as they are."""
    return Fold(
        Examples(x_train, y_train, np.ones(len(x_train), np.float32)),
        Examples(x_validation, y_validation, np.ones(len(x_validation), np.float32)),
        np.zeros(1, np.float32),
        np.ones(1, np.float32),
    )


def mlp(**changes: object) -> Recipe:
    """A small perceptron for `blobs`, with room for every selection."""
    fields: dict[str, object] = {
        "family": "mlp", "inputs": (5,), "outputs": 3, "loss": "cross_entropy", "metric": "accuracy",
        "depth": 2, "width": 8, "activations": ("relu", "tanh"),
        "initializers": ("glorot_uniform", "he_normal"),
        "optimizers": ("adam", "momentum"), "schedules": ("constant", "cosine"), "batch": 16, "dropout": True,
        "keep_best": True, "by_loss": True,
    }  # fmt: skip
    return Recipe(**(fields | changes))  # type: ignore[arg-type]


def lane(**changes: float) -> Hyperparameters:
    """A lane of `mlp`; any field may be changed."""
    integers = {
        "depth": 2, "width": 8, "activation": 0, "initializer": 0, "optimizer": 0, "schedule": 0,
        "batch_size": 16, "epochs": 12, "patience": 0,
    }  # fmt: skip
    reals = {
        "init_scale": 0.05, "learning_rate": 0.01, "momentum": 0.9, "beta2": 0.999, "warmup": 0.0, "l1": 0.0,
        "l2": 1e-4, "weight_decay": 0.0, "dropout": 0.1, "label_smoothing": 0.0, "clip": np.inf,
        "min_delta": 0.0, "taper": 1.0, "shift": 0.0, "flip": 0.0, "ema": 0.0,
    }  # fmt: skip
    unknown = set(changes) - set(Hyperparameters._fields)
    assert not unknown, unknown
    values = {name: np.int32(changes.get(name, value)) for name, value in integers.items()}
    values |= {name: np.float32(changes.get(name, value)) for name, value in reals.items()}
    return Hyperparameters(**values, seed=np.uint32(changes.get("seed", 0)))
