"""Reports about tables: what a column turns into, what is said of it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from workbench import data
from workbench.core.errors import DataError
from workbench.core.types import DataSpec

N = 120


class Report(NamedTuple):
    """A situation, how its table differs from `plain`, and what is right."""

    situation: str
    change: Callable[[pd.DataFrame], pd.DataFrame]
    kinds: Mapping[str, str] = MappingProxyType(
        {}
    )  # of columns beside a, b and c; "" where a column is no feature
    classes: tuple[str, ...] | None = ("neg", "pos")  # None: regression
    said: str = ""  # among the remarks
    spec: Mapping[str, Any] = MappingProxyType({})
    suffix: str = ".csv"


def plain() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    table = pd.DataFrame(draw.normal(size=(N, 2)), columns=["a", "b"])
    return table.assign(
        c=draw.choice(["u", "v", "w"], N), y=np.where(table["a"] + table["b"] > 0, "pos", "neg")
    )


def load(report: Report, folder: Path) -> Any:
    """The development rows, from a file as pandas writes it."""
    table, file = report.change(plain()), f"rows{report.suffix}"
    if report.suffix == ".csv":
        table.to_csv(folder / file, index=table.index.name == "kept", index_label="")
    else:
        table.to_parquet(folder / file)
    return data.load(DataSpec(file, folder, **{"target": "y", **report.spec}))[0]


def target(values: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda t: t.assign(y=values(t) if callable(values) else values)


def column(values: Any, name: str = "x") -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda t: t.assign(**{name: values(t) if callable(values) else values})


COUNT = np.arange(N)

READ = [
    Report(
        "the index that to_csv saves has no name (pandas, Kaggle: a first column `Unnamed: 0`)",
        lambda t: t.rename_axis("kept"),
        said="the first column has no name and was taken for a row number; it is left out",
    ),
    Report(
        "the index was saved, read back and saved again, and is called Unnamed: 0",
        column(COUNT, "Unnamed: 0"),
        {"Unnamed: 0": "numeric"},
        said='write [data] drop = ["Unnamed: 0"]',
    ),
    Report("truth values as target", target(lambda t: t["y"] == "pos"), classes=("False", "True")),
    Report(
        "yes and no as target",
        target(lambda t: t["y"].map({"pos": "yes", "neg": "no"})),
        classes=("no", "yes"),
    ),
    Report(
        "0 and 1 as floats, from a database", target(lambda t: (t["y"] == "pos") * 1.0), classes=("0", "1")
    ),
    Report(
        "-1 and 1, as support vector machines want them",
        target(lambda t: np.where(t["y"] == "pos", 1, -1)),
        classes=("-1", "1"),
    ),
    Report(
        "few classes in whole numbers (AutoGluon 3842: an integer target is taken for classes)",
        target(COUNT % 5 + 1),
        classes=("1", "2", "3", "4", "5"),
        said='write task = "regression" if that is wrong',
    ),
    Report("the same, said to be numbers", target(COUNT % 5 + 1), classes=None, spec={"task": "regression"}),
    Report(
        "one stray code among 0 and 1",
        target(np.where(COUNT == 3, 2, COUNT % 2)),
        classes=None,
        said='so the task is regression; write task = "classification" if that is wrong',
    ),
    Report(
        "a category that no row has (AutoGluon 4583: taken for a blank label, a crash)",
        lambda t: t.assign(y=pd.Categorical(t["y"], ["neg", "never", "pos"]), c=pd.Categorical(t["c"])),
        suffix=".parquet",
    ),
    Report(
        "several classes are asked for and two are there (AutoGluon 1640: an IndexError)",
        lambda t: t,
        spec={"task": "classification"},
    ),
    Report(
        "a column that is blank throughout",
        column(np.nan),
        {"x": ""},
        said="left out because every row holds the same: x",
    ),
    Report("a constant column", column(5), {"x": ""}, said="left out because every row holds the same: x"),
    Report("nothing but negative zeros", column(-0.0), {"x": ""}, said="left out"),
    Report("numbered rows as a feature", column(1000 + COUNT), {"x": "numeric"}, said='"x" numbers the rows'),
    Report(
        "the target under another name",
        column(lambda t: t["y"]),
        {"x": "category"},
        said='"x" alone predicts "y" almost perfectly',
    ),
    Report(
        "the target in other words",
        column(lambda t: t["y"].map({"pos": 17, "neg": 4})),
        {"x": "numeric"},
        said='"x" alone predicts "y" almost perfectly',
    ),
    Report(
        "postal codes lose their zeros (pandas 54665)",
        column([f"{k % 7:05d}" for k in range(N)]),
        {"x": "category"},
        said="holds codes with leading zeros, such as 00000, which are taken for labels",
    ),
    Report(
        "amounts that a program filled up with zeros",
        column([f"{k * 37:08d}" for k in range(N)]),
        {"x": "numeric"},
        said="holds numbers with leading zeros, such as 00000000",
    ),
    Report(
        "hours, days and months of two digits",
        column([f"{k % 12 + 1:02d}" for k in range(N)]),
        {"x": "numeric"},
    ),
    Report(
        "-999 for no value (Kaggle: Higgs, weather stations)",
        column(lambda t: t["a"].where(COUNT % 9 > 0, -999.0)),
        {"x": "numeric"},
        said='"x" holds -999 in 11 rows, far from its other numbers; if it stands for no value',
    ),
    Report(
        "99 in a count is no such number",
        column(COUNT % 100),
        {"x": "numeric"},
        said="",
    ),
    Report(
        "mileage in two units (Kaggle: used cars, 23.4 kmpl and 17.3 km/kg)",
        column([f"{9 + k / 8:.1f} {'km/kg' if k % 40 == 7 else 'kmpl'}" for k in range(N)]),
        {"x": "numeric"},
        said="were read as written with kmpl",
    ),
    Report(
        "stories and bedrooms in words (Kaggle: Ames, 1Story and SLvl; 2 BHK)",
        column([("1Story", "2Story", "1.5Fin", "SLvl")[k % 4] for k in range(N)]),
        {"x": "category"},
    ),
    Report(
        "days without marks (Kaggle: King County, 20141013T000000)",
        column(pd.date_range("2014-05-02", periods=N).strftime("%Y%m%dT000000")),
        {"x": "date"},
    ),
    Report(
        "days as whole numbers in Parquet",
        column(pd.date_range("2014-05-02", periods=N).strftime("%Y%m%d").astype(int)),
        {"x": "date"},
        suffix=".parquet",
    ),
    Report("whole numbers that are no days", column(20_140_000 + COUNT), {"x": "numeric"}),
    Report("times of the day", column([f"{k % 24:02d}:{k % 60:02d}" for k in range(N)]), {"x": "date"}),
    Report("quarters", column([f"{2000 + k // 4}Q{k % 4 + 1}" for k in range(N)]), {"x": "date"}),
    Report(
        "postal codes that are said to be codes (pandas 54665)",
        column([f"{k % 7:05d}" for k in range(N)]),
        {"x": "category"},
        spec={"categorical": ("x",)},
    ),
    Report(
        "bytes near 255 wrap around in sums",
        column((COUNT % 256 + 100).astype("uint8")),
        {"x": "numeric"},
        suffix=".parquet",
    ),
    Report("numbers near the largest", column(lambda t: t["a"] * 1e300), {"x": "numeric"}),
    Report("an infinity in a feature", lambda t: t.assign(a=t["a"].where(COUNT != 3, np.inf))),
    Report(
        "TRUE and FALSE of a spreadsheet",
        column(lambda t: np.where(t["a"] > 0, "TRUE", "FALSE")),
        {"x": "boolean"},
    ),
    Report(
        "numbers in scientific notation",
        column([f"{v:.2e}" for v in np.linspace(-9, 9, N)]),
        {"x": "numeric"},
    ),
    Report(
        "more columns than rows",
        lambda t: t.join(pd.DataFrame(np.random.default_rng(1).normal(size=(N, 300))).add_prefix("f")),
    ),
    Report(
        "columns called index, target and weight",
        lambda t: t.assign(index=t["a"] * 2, target=t["b"] ** 2, weight=1 + t["a"] ** 2),
        {"index": "numeric", "target": "numeric", "weight": "numeric"},
    ),
    Report(
        "names with dots, brackets, quotes, line ends and pictures",
        lambda t: t.rename(columns={"y": "the\ny 😀"}).assign(
            **{"x.1[0]": t["a"] ** 2, 'say "x", or': t["b"] ** 2}
        ),
        {"x.1[0]": "numeric", 'say "x", or': "numeric"},
        spec={"target": "the\ny 😀"},
    ),
    Report("classes with spaces behind them", target(lambda t: t["y"] + " ")),
]


@pytest.mark.parametrize("report", READ, ids=lambda report: report.situation)
def test_what_is_read(report: Report, tmp_path: Path) -> None:
    dataset = load(report, tmp_path)
    if report.classes is None:
        assert dataset.task == "regression"
    else:
        assert (dataset.task, tuple(map(str, dataset.classes))) == ("classification", report.classes)
    found = {one.name: one.kind for one in dataset.columns}
    assert {name: found.get(name, "") for name in report.kinds} == report.kinds
    remarks = " ".join((*dataset.notes, *data.findings(dataset)))
    assert report.said in remarks
    fold, preprocessor = data.prepare(dataset)
    for part in (fold.train, fold.validation):
        x = np.asarray(part.x)
        assert x.shape[1] == len(preprocessor.feature_names)
        assert np.isfinite(x).all()


REFUSED = [
    Report(
        "a class of one row (AutoGluon 201: classes silently left out)",
        target(lambda t: t["y"].where(COUNT != 5, "rare")),
        said='class "rare" has 1 row',
    ),
    Report(
        "two columns of one name",
        lambda t: t.rename(columns={"b": "a"}),
        said='"a" stands in the first line twice',
    ),
    Report(
        "blank targets", target(lambda t: t["y"].where(COUNT % 10 > 0)), said="is blank in 12 rows of 120"
    ),
    Report(
        "blank targets among numbers",
        target(lambda t: t["a"].where(COUNT % 10 > 0)),
        said="is blank in 12 rows of 120",
    ),
    Report("all rows of one class", target("one"), said="there is nothing to predict"),
    Report("a constant number to be predicted", target(3.5), said="there is nothing to predict"),
    Report(
        "a target of names",
        target([f"Mr {k}" for k in range(N)]),
        said="120 different values in 120 rows, such as",
    ),
    Report(
        "a target of dates",
        target(pd.date_range("2024-01-01", periods=N).astype(str)),
        said='such as "2024-01-01"',
    ),
    Report("ids as text", column([f"CUST-{k:05d}" for k in range(N)]), said='write [data] drop = ["x"]'),
    Report("three rows", lambda t: t.head(3), said="stratifying needs 3"),
    Report("a target that is not there", lambda t: t.rename(columns={"y": "Y"}), said='did you mean "Y"?'),
]


@pytest.mark.parametrize("report", REFUSED, ids=lambda report: report.situation)
def test_what_is_refused(report: Report, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        load(report, tmp_path)
    assert report.said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_time_that_is_out_of_order_and_in_a_zone_is_split_by_time(tmp_path: Path) -> None:
    """Rows of a sensor, shuffled on the way, in local time across the change of the clock."""
    when = pd.date_range("2024-03-30 12:00", periods=N, freq="h", tz="Europe/Berlin")
    table = plain().assign(when=when).sample(frac=1.0, random_state=0)
    table.to_parquet(tmp_path / "rows.parquet")
    dataset, _ = data.load(DataSpec("rows.parquet", tmp_path, target="y", time="when"))
    moments = table["when"].dt.tz_convert("UTC").to_numpy()
    # The frame keeps the order of the file: development rows are the older ones, and training the oldest.
    order = np.argsort(moments, kind="stable")
    n_train, n_validation = len(dataset.train), len(dataset.validation)
    features = table[["a", "b"]].to_numpy()[order]
    rows = dataset.rows[["a", "b"]].to_numpy()
    for part, expected in (
        (dataset.train, features[:n_train]),
        (dataset.validation, features[n_train : n_train + n_validation]),
    ):
        np.testing.assert_allclose(np.sort(rows[part], axis=0), np.sort(expected, axis=0))


def test_copies_of_a_row_and_rows_of_a_group_stay_together(tmp_path: Path) -> None:
    """Augmented or oversampled rows on both sides of the split make any score too good."""
    table = plain()
    pd.concat([table, table.head(60), table.head(30)]).sample(frac=1.0, random_state=0).to_csv(
        tmp_path / "copies.csv", index=False
    )
    dataset, _ = data.load(DataSpec("copies.csv", tmp_path, target="y"))
    rows = dataset.rows[["a", "b"]].round(12).apply(tuple, axis=1)
    assert not set(rows.iloc[dataset.train]) & set(rows.iloc[dataset.validation])
    table.assign(patient=COUNT % 24, level=COUNT % 24 + table["a"] / 1e3).to_csv(
        tmp_path / "groups.csv", index=False
    )
    dataset, _ = data.load(DataSpec("groups.csv", tmp_path, target="y", group="patient"))
    patient = dataset.rows["level"].round().astype(int)
    assert not set(patient.iloc[dataset.train]) & set(patient.iloc[dataset.validation])
