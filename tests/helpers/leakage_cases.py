"""Real tables to plant findings into, and what is found in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn import datasets

from workbench.core.types import DataSpec
from workbench.data import Dataset, findings, load

LOADERS: dict[str, Callable[..., Any]] = {
    "breast_cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "diabetes": datasets.load_diabetes,
}


def real(name: str) -> pd.DataFrame:
    """A set of scikit-learn's as a table; its target is `y`, text for classes."""
    bunch = LOADERS[name](**({"scaled": False} if name == "diabetes" else {}))
    frame = pd.DataFrame(bunch.data, columns=list(bunch.feature_names))
    return frame.assign(y=bunch.target if name == "diabetes" else bunch.target_names[bunch.target])


def written(folder: Path, frame: pd.DataFrame, **keys: Any) -> Dataset:
    """Divided by row numbers, so that copies fall on both sides; by content they would stay together."""
    keys = {"split_rule": "rows"} | keys
    frame.to_csv(folder / "a.csv", index=False)
    return load(DataSpec(source="a.csv", folder=folder, target="y", **keys))[0]


def one(dataset: Dataset) -> str:
    (sentence,) = findings(dataset)
    return sentence
