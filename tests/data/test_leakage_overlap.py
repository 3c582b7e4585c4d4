"""Official test rows that the model has seen are refused, or counted before the opening; new ones pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.end_to_end import ONE_TRIAL
from workbench.cli.main import main
from workbench.core.errors import DataError
from workbench.core.types import DataSpec
from workbench.data import findings, load

Change = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]
NUMBERS = ["a", "b", "c"]
STUDY = f"""name = "official"
[data]
source = "dev.csv"
target = "kind"
test = "test.csv"
{ONE_TRIAL}"""


def rows(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 3)), columns=NUMBERS)
    frame["city"] = rng.choice(["Rom", "Bonn", "Oslo"], n)
    frame["kind"] = np.where(frame["a"] + rng.normal(size=n) > 0, "p", "n")
    return frame


def noisy(frame: pd.DataFrame, size: float) -> pd.DataFrame:
    frame = frame.copy()
    frame[NUMBERS] += np.random.default_rng(1).normal(size=(len(frame), 3)) * size
    return frame


def written(folder: Path, dev: pd.DataFrame, test: pd.DataFrame) -> DataSpec:
    dev.to_csv(folder / "dev.csv", index=False)
    test.to_csv(folder / "test.csv", index=False)
    return DataSpec(source="dev.csv", folder=folder, target="kind", test="test.csv")


REFUSED: dict[str, Change] = {
    "the same rows": lambda dev, test: dev,
    "shuffled, columns turned": lambda dev, test: dev.sample(frac=1, random_state=0)[dev.columns[::-1]],
    "a part of them": lambda dev, test: dev.sample(80, random_state=0),
    "with new ones behind": lambda dev, test: pd.concat([dev, test.head(60)]),
    "noise of 1e-2": lambda dev, test: noisy(dev, 1e-2),
    "rounded to one decimal": lambda dev, test: dev.round(dict.fromkeys(NUMBERS, 1)),
    "a column more": lambda dev, test: dev.assign(row=range(len(dev))),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_training_rows_are_refused(tmp_path: Path, change: Change) -> None:
    dev = rows(300, 0)
    with pytest.raises(DataError, match=r"^test\.csv: .*test rows are also among the training rows"):
        load(written(tmp_path, dev, change(dev, rows(100, 1))))


SAID: dict[str, tuple[Change, int, int]] = {
    "a third": (lambda dev, test: pd.concat([test, dev.sample(50, random_state=0)]), 50, 50),
    "a third up to noise": (
        lambda dev, test: pd.concat([test, noisy(dev.sample(50, random_state=0), 1e-2)]),
        35,
        65,
    ),
    "a dozen rows": (lambda dev, test: pd.concat([test, dev.head(12)]), 12, 12),
}


@pytest.mark.parametrize(("change", "low", "high"), SAID.values(), ids=SAID)
def test_some_training_rows_are_counted(tmp_path: Path, change: Change, low: int, high: int) -> None:
    dev = rows(300, 0)
    dataset, _ = load(written(tmp_path, dev, change(dev, rows(100, 1))))
    found = dataset.overlap.removeprefix("test.csv: ").removeprefix("about ")
    assert low <= int(found.split(" of ")[0]) <= high
    assert findings(dataset)[0] == dataset.overlap
    assert dataset.summary()["overlap"] == dataset.overlap


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), n=st.integers(30, 300), levels=st.integers(2, 40), columns=st.integers(1, 4)
)
def test_new_rows_are_let_alone(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, levels: int, columns: int
) -> None:
    """Of numbers and of few values alike, where many rows agree by chance."""
    rng = np.random.default_rng(seed)
    for draw in (lambda m: rng.normal(size=(m, columns)), lambda m: rng.integers(0, levels, (m, columns))):
        frame = pd.DataFrame(draw(2 * n)).add_prefix("x").assign(kind=rng.choice(["p", "n"], 2 * n))
        assert load(written(tmp_path_factory.getbasetemp(), frame[:n], frame[n:]))[0].overlap == ""


def test_few_kinds_of_rows_agree_by_chance_and_are_the_file_only_in_its_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    few = pd.DataFrame({"x": rng.integers(0, 2, 30), "kind": rng.choice(["p", "n"], 30)})
    assert load(written(tmp_path, few, few[::-1]))[0].overlap == ""
    with pytest.raises(DataError, match="30 of 30 test rows are also among the training rows"):
        load(written(tmp_path, few, few))
    many = few.assign(y=rng.integers(0, 12, 30))
    with pytest.raises(DataError, match="30 of 30 test rows are also among the training rows"):
        load(written(tmp_path, many, many[::-1]))


def test_real_files(data_folder: Path) -> None:
    """Adult's own test file, in which two dozen rows agree with training rows, as many as by chance."""
    adult = DataSpec(source="adult.csv", folder=data_folder, target="classification", test="adult_test.csv")
    assert load(adult)[0].overlap == ""


def test_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (120, 6, 6)).astype(np.uint8), np.arange(120) % 3
    new, codes = rng.integers(0, 256, (60, 6, 6)), np.arange(60) % 3
    spec = DataSpec(source="a.npz", folder=tmp_path)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=new, y_test=codes)
    assert load(spec)[0].overlap == ""
    half = np.concatenate([new[:40], x[:20]]), np.concatenate([codes[:40], y[:20]])
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=half[0], y_test=half[1])
    assert load(spec)[0].overlap.startswith("a.npz: 20 of 60 test rows are also among the training rows;")
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x + 1.0, y_test=y)
    with pytest.raises(
        DataError, match="120 of 120 test rows are also among the training rows, exactly or but"
    ):
        load(spec)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dev, test = rows(200, 0), rows(60, 1)
    (tmp_path / "s.toml").write_text(STUDY)
    study, home = str(tmp_path / "s.toml"), ["--home", str(tmp_path / "home")]
    written(tmp_path, dev, dev)
    for command in ("check", "run"):
        assert main([command, study, *home]) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert "test.csv: 200 of 200 test rows are also among the training rows" in said
    written(tmp_path, dev, pd.concat([test, dev.head(30)]))
    assert main(["check", study, *home]) == 0
    assert "30 of 90 test rows are also" in " ".join(capsys.readouterr().out.split())
    assert main(["run", study, *home, "--search-only"]) == 0
    assert "30 of 90 test rows are also" in " ".join(capsys.readouterr().err.split())
    (report,) = (tmp_path / "home" / "studies").glob("*/report.md")
    first = report.read_text().split("Study **")[1].splitlines()[2]
    assert first.startswith("> **WARNING: not all test rows are new.** test.csv: 30 of 90 test rows")
    (tmp_path / "test.csv").unlink()  # what was found stays known
    assert main(["show", study, *home]) == 0
    assert "30 of 90 test rows are also" in report.read_text()
