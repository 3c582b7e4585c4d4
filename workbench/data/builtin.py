"""Data sets by name: scikit-learn's, which ship with it and need no network, and OpenML's.

To add one, put a function that makes a `Source` into `BUILTIN`.
"""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPException

import pandas as pd
import pyarrow as pa

from workbench.data.raw import Source, plain_table
from workbench.errors import DataError
from workbench.types import Array, Task
from workbench.wording import toml

__all__ = ["BUILTIN", "openml"]


def _digits() -> Source:
    from sklearn.datasets import load_digits

    data = load_digits()
    names = [f"pixel_{name.removeprefix('pixel_')}" for name in data.feature_names]
    return _bundled("digits", data.data, names, [str(code) for code in data.target], "digit")


def _breast_cancer() -> Source:
    from sklearn.datasets import load_breast_cancer

    return _classes("breast_cancer", load_breast_cancer(), "diagnosis")


def _wine() -> Source:
    from sklearn.datasets import load_wine

    return _classes("wine", load_wine(), "cultivar")


def _iris() -> Source:
    from sklearn.datasets import load_iris

    return _classes("iris", load_iris(), "species")


def _diabetes() -> Source:
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    return _bundled("diabetes", data.data, data.feature_names, data.target, "progression")


def _classes(name: str, data: object, target: str) -> Source:
    values, codes, classes, names = (
        getattr(data, part) for part in ("data", "target", "target_names", "feature_names")
    )
    plain = [column.split(" (")[0].replace(" ", "_") for column in names]
    return _bundled(name, values, plain, [str(classes[code]) for code in codes], target)


def _bundled(name: str, values: Array, names: list[str], target: object, target_name: str) -> Source:
    columns = {column: pa.array(values[:, j]) for j, column in enumerate(names)}
    table = pa.table({**columns, target_name: pa.array(target)})
    task: Task = "classification" if isinstance(target, list) else "regression"
    return Source(name, table, target=target_name, task=task, complete=True)


#: Built-in data sets by name; each is read without a network.
BUILTIN: dict[str, Callable[[], Source]] = {
    "digits": _digits,
    "breast_cancer": _breast_cancer,
    "wine": _wine,
    "diabetes": _diabetes,
    "iris": _iris,
}


def openml(source: str) -> Source:
    """What `openml:NAME` or `openml:NAME@VERSION` names. Raises DataError if it cannot be fetched."""
    from sklearn.datasets import fetch_openml

    name, _, version = source.removeprefix("openml:").partition("@")
    if not name or (version and not version.isdigit()):
        raise DataError(
            f"[data] source = {toml(source)} names no set; write openml:NAME or openml:NAME@VERSION"
        )
    try:
        bunch = fetch_openml(name=name, version=int(version) if version else "active", as_frame=True)
    except (OSError, HTTPException, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"[data] source = {toml(source)} cannot be fetched from OpenML ({reason}); "
            "check the name and the network, or use a local file"
        ) from error
    targets = bunch.target_names or []
    frame = bunch.frame
    plain = {
        column: frame[column].astype(object)
        if isinstance(frame[column].dtype, pd.CategoricalDtype)
        else frame[column]
        for column in frame.columns
    }
    table = pa.Table.from_pandas(pd.DataFrame(plain), preserve_index=False)
    return Source(source, plain_table(table, source), target=targets[0] if len(targets) == 1 else None)
