"""Small models whose predictions are known in closed form, and a preparation that only picks columns."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workbench.data.preprocessing.tables import Column
from workbench.evaluation import saved_model
from workbench.nn.recipe import Hyperparameters, Recipe

HYPER = Hyperparameters(
    depth=np.int32(0), width=np.int32(0), activation=np.int32(0), initializer=np.int32(0),
    init_scale=np.float32(1), optimizer=np.int32(0), learning_rate=np.float32(0.1), momentum=np.float32(0.9),
    beta2=np.float32(0.999), schedule=np.int32(0), warmup=np.float32(0), l1=np.float32(0), l2=np.float32(0),
    weight_decay=np.float32(0), dropout=np.float32(0), label_smoothing=np.float32(0), clip=np.float32(np.inf),
    batch_size=np.int32(32), epochs=np.int32(5), patience=np.int32(0), min_delta=np.float32(0),
    seed=np.uint32(3),
)  # fmt: skip


class Picked:
    """Stands in for the preprocessor: the named columns as they are, arrays as they are."""

    training = None

    def __init__(self, columns: list[str]) -> None:
        self.names = columns
        self.columns = [Column(name, "numeric") for name in columns]

    def novelties(self, rows: Any) -> dict[str, dict[str, Any]]:
        return {"unseen": {}, "blank": {}, "outside": {}}

    def transform(self, rows: Any) -> np.ndarray:
        return np.asarray(rows[self.names] if hasattr(rows, "columns") else rows, np.float32)

    def to_json(self) -> dict[str, Any]:
        return {"columns": self.names}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Picked:
        return cls(plain["columns"])


def module() -> types.ModuleType:
    """What to put in the place of `workbench.data.preprocessing`."""
    stand_in = types.ModuleType("workbench.data.preprocessing")
    stand_in.Preprocessor = Picked  # type: ignore[attr-defined]
    return stand_in


def recipe(family: str = "softmax", inputs: tuple[int, ...] = (3,), outputs: int = 3) -> Recipe:
    return Recipe(family, inputs, outputs, "cross_entropy", "accuracy")


def weights(outputs: int = 3, inputs: int = 3) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {
        "weight": draw.normal(size=(outputs, inputs)).astype(np.float32),
        "bias": draw.normal(size=outputs).astype(np.float32),
    }


def rows(n: int = 20) -> pd.DataFrame:
    """Raw rows: numbers, whole numbers, text, blanks; the model looks at a, b and n."""
    draw = np.random.default_rng(1)
    table = pd.DataFrame(draw.normal(size=(n, 2)), columns=["a", "b"])
    table["n"] = draw.integers(0, 9, n)
    table["word"] = [None if i % 3 else "x" for i in range(n)]
    table["blank"] = [np.nan if i % 2 else 1.0 for i in range(n)]
    return table


def linear_model(folder: Path, **changes: Any) -> tuple[Path, pd.DataFrame]:
    """A saved softmax model of three classes, and raw rows for it."""
    options: dict[str, Any] = {
        "recipe": recipe(),
        "hyper": HYPER,
        "params": weights(),
        "preprocessor": Picked(["a", "b", "n"]),
        "task": "classification",
        "classes": ["red", "green", "blue"],
        "example": rows(),
    }
    return saved_model.save(folder, **(options | changes)), rows()
