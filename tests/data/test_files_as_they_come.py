"""Titles, comments, other encodings, packed files, dates of many kinds, arrays of any order."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench import data
from workbench.core.errors import DataError
from workbench.core.types import DataSpec
from workbench.data.dataset import Dataset
from workbench.data.sources import read, read_file
from workbench.study.config import read_study
from workbench.study.scaffold import new

ROWS = [[str(row), f"{row}.25", "uvw"[row % 3], str(row % 7)] for row in range(30)]
NAMES = ["a", "b", "c", "y"]


def text(separator: str = ",", names: list[str] = NAMES, rows: list[list[str]] = ROWS, end: str = "") -> str:
    return "".join(separator.join(row) + end + "\n" for row in [names, *rows])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (text(), ""),
        ("# created 2024-01-01\n" + text(), '"# created 2024-01-01"'),
        ("# one\n# two, three\n\n" + text(), "3 lines|2 lines"),
        ("Report\n\nof, all\n" + text(";"), "Report"),
        ("Report;;;\n;;;\nall of it;;;\n" + text(";"), "Report"),  # as spreadsheets save it
        ("sep=;\n" + text(";"), ""),
        ('"sep=|"\n' + text("|"), ""),
        ("\n\n" + text("\t"), ""),
        (text(end=","), "without a name|$"),
        (text().replace("\n", ",\n").replace("y,\n", "y\n", 1), "without a name|$"),
        (text().replace("y\n", "y,\n", 1), ""),
        (text(rows=[*ROWS[:9], NAMES, *ROWS[9:20], NAMES, *ROWS[20:]]), "2 rows hold the column names again"),
        (
            text(names=["", *NAMES], rows=[[str(j), *row] for j, row in enumerate(ROWS)]),
            "taken for a row number",
        ),
        (text(rows=[[f"r{j}", *row] for j, row in enumerate(ROWS)]), "names the rows"),
        ("\ufeff" + text(), ""),
        (text().replace("\n", "\r\n"), ""),
        (text(rows=[*ROWS[:9], ["# half way"], ["# b, c"], *ROWS[9:]]), "2 lines are no rows"),
        (text(";", rows=[*ROWS[:9], ["// note"], *ROWS[9:]]), '1 line is no row and is left out: "// note"'),
        (text(";", rows=[*ROWS[:9], [" \v "], *ROWS[9:]]), '1 line is no row and is left out: ""'),
        (text() + "(30 rows affected)\n", "1 line is no row"),
        (text() + "\nSource: office\nall of it\n\n", "2 lines are no rows"),
        (text() + "\x1a", "1 line is no row"),
        (text() + ",,,\n,,,\n", "2 rows without a cell are left out"),
        (text(rows=[*ROWS[:9], [" "] * 4, *ROWS[9:]]), "1 row without a cell is left out"),
        (
            text(";", rows=[["[s]", "[kg]", "", ""], *ROWS]),
            'holds units and is left out: "\\[s\\]", "\\[kg\\]"',
        ),
        (text(rows=[["s", "m/s²", "", "°C"], *ROWS]), 'holds units and is left out: "s", "m/s²", "°C"'),
        ("  ".join(NAMES) + "\n" + "".join("   ".join(row) + "\n" for row in ROWS), ""),
        (text().replace("a,b", "\u200ba\ufeff,\u00a0b", 1), ""),
    ],
)
def test_the_table_is_found(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(content.encode())
    found = read_file(tmp_path / "d.csv")
    assert found.rows.to_pydict() == {name: [row[j] for row in ROWS] for j, name in enumerate(NAMES)}  # type: ignore[union-attr]
    assert (not told and not found.notes) or any(pd.Series(found.notes).str.contains(told)) or "$" in told


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_in_quoted_names(separator: str, tmp_path: Path) -> None:
    names = ["Temperatur, C", "Feuchte; %", "a|b", "klasse"]
    quoted = separator.join(f'"{name}"' for name in names) + "\n"
    rows = [[f'"{row},5"' if separator == "," else f"{row},5", "1", "2", "an"] for row in range(20)]
    (tmp_path / "d.csv").write_text(quoted + "".join(separator.join(row) + "\n" for row in rows))
    found = read_file(tmp_path / "d.csv")
    assert found.rows.column_names == names  # type: ignore[union-attr]
    assert found.separator == separator
    assert found.rows["Temperatur, C"].to_pylist() == [f"{row},5" for row in range(20)]  # type: ignore[index]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (text(rows=[*ROWS[:9], ["7", "u"], *ROWS[9:]]), "row 10 below the column names has 2 cells"),
        (text(rows=[*ROWS[:9], ["what"], *ROWS[9:]]), "row 10 below the column names has 1 cells"),
        (text() + "31\n", "row 31 below the column names has 1 cells"),  # cut off, may be
        (text(rows=[["#7", *ROWS[7][1:]], *ROWS, ["#1", "2", "u"]]), "has 3 cells"),
        (text(":"), 'its cells seem to be divided by ":"'),
        (text("^"), r'divided by "\^"'),
        (text("::"), 'divided by "::"'),
        (
            text().replace("9.25,u", '9.25,"u'),
            "a quotation mark in row 10 below the column names .* is not closed",
        ),
        (
            text().replace("9.25,u,2", '9.25,u,"2'),
            'quotation mark before "2" in row 10 of the column "y" is not',
        ),
        (text(names=["5.1", "5.1", "x", "y"]), "put a line of names above the first row"),
    ],
)
def test_what_is_no_table(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=told):
        read_file(tmp_path / "d.csv")


@pytest.mark.parametrize(
    ("start", "told"),
    [(b"PK\x03\x04", "a workbook of Excel"), (b"\x1f\x8b", "packed by gzip"), (b"PAR1", "a Parquet file")],
)
def test_other_kinds_of_files_called_csv(start: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(start + bytes(range(256)))
    with pytest.raises(DataError, match=f"d.csv: is {told}"):
        read_file(tmp_path / "d.csv")


def test_a_first_row_of_numbers_may_be_no_names(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(text(names=["5.1", "3.5", "setosa", "0"]))
    assert any(
        'column names are numbers, such as "5.1"' in note for note in read_file(tmp_path / "d.csv").notes
    )
    (tmp_path / "d.csv").write_text(text(names=["2019", "2020", "c", "y"]))
    assert not read_file(tmp_path / "d.csv").notes


def test_a_line_of_labels_is_no_title(tmp_path: Path) -> None:
    """What cannot be told from a ragged row is refused, and the row is named."""
    (tmp_path / "d.csv").write_text("a,b\nu,v,w\nu,v,w\n")
    with pytest.raises(DataError, match="row 1 below the column names has 3 cells, but there are 2"):
        read_file(tmp_path / "d.csv")


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        *(("utf-8", ""), ("utf-8-sig", ""), ("utf-16", "utf-16"), ("utf-16-le", "utf-16-le")),
        *(("cp1252", "not UTF-8 and was read as cp1252"), ("utf-16-be", "utf-16-be")),
    ],
)
def test_encodings(encoding: str, said: str, tmp_path: Path) -> None:
    names = ["größe", "naïve", "y"]
    content = text(";", names, [[f"{row},5", "é", "ü"] for row in range(20)])
    (tmp_path / "d.csv").write_bytes(content.encode(encoding))
    found = read_file(tmp_path / "d.csv")
    assert found.rows.column_names == names  # type: ignore[union-attr]
    assert found.rows["y"].to_pylist() == ["ü"] * 20  # type: ignore[index]
    assert [said in note for note in found.notes] == ([True] if said else [])
    key = read(DataSpec(source="d.csv", folder=tmp_path, encoding=encoding))
    assert key.rows == found.rows
    assert not key.notes


def test_encodings_that_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(text(rows=[["é", "1", "2", "3"]]).encode("latin-1"))
    for encoding, told in (
        ("ascii", "not ascii text .byte 0xe9 in line 2"),
        ("nonsense", "is no encoding"),
        ("utf-8", "0xe9"),
    ):
        with pytest.raises(DataError, match=told):
            read(DataSpec(source="d.csv", folder=tmp_path, encoding=encoding))
    (tmp_path / "d.csv").write_bytes(
        text(rows=[["\x81", "1", "2", "3"]]).encode("latin-1")
    )  # which cp1252 lacks
    assert any("latin-1" in note for note in read_file(tmp_path / "d.csv").notes)


def test_packed_files(tmp_path: Path) -> None:
    content = text().encode()
    (tmp_path / "d.csv").write_bytes(content)
    plain = read_file(tmp_path / "d.csv").rows
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(content))
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("folder/d.csv", content)
        archive.writestr("__MACOSX/folder/._d.csv", b"\x00")
    pq.write_table(plain, tmp_path / "p.parquet")
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.write(tmp_path / "p.parquet", "p.parquet")
    for name in ("d.csv.gz", "d.zip", "p.zip"):
        assert read_file(tmp_path / name).rows == plain
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", content)
        archive.writestr("b.csv", content)
    (tmp_path / "bad.csv.gz").write_bytes(gzip.compress(content)[:-9])
    (tmp_path / "no.csv.gz").write_bytes(content)
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04nothing")
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(content))
    for name, told in (
        *(
            ("two.zip", "holds 2 files .a.csv, b.csv."),
            ("bad.csv.gz", "cannot be unpacked"),
            ("no.csv.gz", "unpacked"),
        ),
        *(("bad.zip", "cannot be unpacked"), ("d.txt.gz", r"\.txt in a \.gz is not a kind of data file")),
    ):
        with pytest.raises(DataError, match=told):
            read_file(tmp_path / name)


# ── dates ───────────────────────────────────────────────────────────────────────────────────────

DAYS = pd.date_range("2023-11-20", periods=60, freq="D")


def dated(tmp_path: Path, cells: list[str], others: list[str] | None = None, **keys: object) -> Dataset:
    frame = pd.DataFrame(
        {"when": cells, "x": others or range(len(cells)), "y": ["u", "v"] * (len(cells) // 2)}
    )
    frame.to_csv(tmp_path / "d.csv", index=False, sep=";")
    return data.load(DataSpec(source="d.csv", folder=tmp_path, target="y", **keys))[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "form",
    [
        *(
            "%d.%m.%Y %H:%M",
            "%d.%m.%Y %H:%M:%S",
            "%d/%m/%Y %H:%M",
            "%m/%d/%Y %I:%M %p",
            "%d-%b-%Y",
            "%d %B %Y",
        ),
        *("%b %d, %Y", "%d-%m-%Y", "%Y/%m/%d %H:%M", "%d.%m.%y", "%Y-%m-%d"),
    ],
)
def test_dates(form: str, tmp_path: Path) -> None:
    moments = DAYS + pd.Timedelta(hours=13, minutes=5) if "H" in form or "I" in form else DAYS
    dataset = dated(tmp_path, [moment.strftime(form) for moment in moments])
    assert dataset.columns[0].kind == "date"
    place = dataset.rows["x"].to_numpy().astype(int)  # type: ignore[call-overload]
    np.testing.assert_array_equal(dataset.rows["when"], moments.to_numpy()[place])  # type: ignore[call-overload]
    first, *_ = (dated(tmp_path, [moment.strftime(form) for moment in moments], time="when"),)
    assert first.time is not None
    assert first.time[first.train].max() < first.time[first.validation].min()


@pytest.mark.parametrize("form", ["%Y-%m", "%m/%Y", "%b %Y", "%b-%y", "%Y/%m"])
def test_months(form: str, tmp_path: Path) -> None:
    months = pd.date_range("2019-01-01", periods=60, freq="MS")
    dataset = dated(tmp_path, [month.strftime(form) for month in months])
    place = dataset.rows["x"].to_numpy().astype(int)  # type: ignore[call-overload]
    np.testing.assert_array_equal(dataset.rows["when"], months.to_numpy()[place])  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("cells", "month"),
    [
        *(
            (["3. März 2024", "31. Okt. 2024"], 3),
            (["1 août 2024", "31 déc. 2023"], 8),
            (["5-dic-2024", "1-ene-2024"], 12),
        ),
        *((["3-Mai-2024", "4-Dez-2024"], 5), (["4 maart 2024", "5 mei 2024"], 3)),
    ],
)
def test_months_in_other_languages(cells: list[str], month: int, tmp_path: Path) -> None:
    found = dated(tmp_path, cells * 15).rows["when"]  # type: ignore[call-overload]
    assert found.dt.month.nunique() == 2
    assert month in set(found.dt.month)


@pytest.mark.parametrize(
    ("form", "precise"),
    [
        *(("%a, %d %b %Y", "D"), ("%A %d %B %Y", "D"), ("%a, %d %b %Y %H:%M:%S +0000", "s"), ("%Y%m%d", "D")),
        *(("%d/%b/%Y:%H:%M:%S +0000", "s"), ("%Y-%m-%d %H:%M:%S UTC", "s"), ("%d.%m.%Y, %H:%M Uhr", "min")),
        *(("%d %b %Y %H:%M:%S +0100", "s"), ("%b %d, %Y at %I:%M %p", "min"), ("%Y年%m月%d日", "D")),
        *(
            ("%d/%m/%Y %I:%M:%S\u202f%p", "s"),
            ("%Y%m%d%H%M", "min"),
            ("%Y%m%dT%H%M%S", "s"),
            ("%H:%M:%S", "clock"),
        ),
        *(
            ("%I:%M %p", "clock"),
            ("%d de %B de %Y", "D"),
            ("%dth of %B %Y", "D"),
            ("%G-W%V", "W"),
            ("KW%V/%G", "W"),
        ),
    ],
)
def test_moments_in_other_words(form: str, precise: str, tmp_path: Path) -> None:
    moments = (DAYS + pd.to_timedelta(np.arange(60) * 607, "min")).floor("min")
    kept = {
        "W": lambda: moments.to_period("W-SUN").start_time,
        "clock": lambda: pd.Timestamp("1900-01-01") + (moments - moments.normalize()),
    }.get(precise, lambda: moments.floor(precise))() - pd.Timedelta(int("+0100" in form), "h")
    dataset = dated(tmp_path, [moment.strftime(form) for moment in moments])
    place = dataset.rows["x"].to_numpy().astype(int)  # type: ignore[call-overload]
    np.testing.assert_array_equal(dataset.rows["when"], kept.to_numpy()[place])  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "form", ["Q{q} {y}", "{y}-Q{q}", "{y}Q{q}", "{q}Q{y}", "{q}. Quartal {y}", "T{q}/{y}"]
)
def test_quarters(form: str, tmp_path: Path) -> None:
    quarters = pd.period_range("2010Q1", periods=60, freq="Q")
    dataset = dated(tmp_path, [form.format(q=each.quarter, y=each.year) for each in quarters])
    place = dataset.rows["x"].to_numpy().astype(int)  # type: ignore[call-overload]
    np.testing.assert_array_equal(dataset.rows["when"], quarters.start_time.to_numpy()[place])  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "cells", [["16:9", "4:3", "21:9"], ["after 2024-01-01", "before 2024-01-01"], ["2024-W54"]]
)
def test_what_is_no_moment(cells: list[str], tmp_path: Path) -> None:
    rows = [*cells, "x:y"] * (60 // (len(cells) + 1))
    assert dated(tmp_path, rows).columns[0].kind == "category"
    assert dated(tmp_path, (cells * 60)[:60]).columns[0].kind != "date"


def test_march_is_no_tuesday(tmp_path: Path) -> None:
    """mar. is both in French; what follows decides."""
    found = dated(tmp_path, ["mar 5 mar 2024", "mer 6 mar 2024"] * 30).rows["when"]  # type: ignore[call-overload]
    assert set(found) == {pd.Timestamp("2024-03-05"), pd.Timestamp("2024-03-06")}
    found = dated(tmp_path, ["Mar 5, 2024", "Mar 6, 2024"] * 30).rows["when"]  # type: ignore[call-overload]
    assert set(found) == {pd.Timestamp("2024-03-05"), pd.Timestamp("2024-03-06")}


def test_days_come_first_where_the_file_says_so(tmp_path: Path) -> None:
    open_ = [f"{1 + row % 12:02}/02/2024" for row in range(60)]
    plain = dated(tmp_path, open_)
    assert set(plain.rows["when"].dt.day) == {2}  # type: ignore[call-overload]
    assert any("read as month/day" in note for note in plain.notes)
    german = dated(tmp_path, open_, [f"{row},5" for row in range(60)])
    beside = dated(tmp_path, open_, [day.strftime("%d/%m/%Y") for day in DAYS])
    for dataset in (german, beside):
        assert set(dataset.rows["when"].dt.month) == {2}  # type: ignore[call-overload]
        assert any("read as day/month" in note for note in dataset.notes)


@pytest.mark.parametrize("day", ["1900-01-01", "9999-12-31"])
def test_dates_that_stand_for_none(day: str, tmp_path: Path) -> None:
    cells = [day if row % 10 == 3 else moment.strftime("%Y-%m-%d") for row, moment in enumerate(DAYS)]
    dataset = dated(tmp_path, cells)
    blank = np.array([cell == day for cell in cells])[dataset.rows["x"].to_numpy().astype(int)]  # type: ignore[call-overload]
    np.testing.assert_array_equal(dataset.rows["when"].isna(), blank)  # type: ignore[call-overload]
    assert any(f"the dates {day}" in note for note in dataset.notes)
    _, fitted = data.prepare(dataset, scale="none")
    rows = [pd.DataFrame({"when": [cell], "x": ["1"]}) for cell in (day, "")]
    np.testing.assert_array_equal(fitted.transform(rows[0]), fitted.transform(rows[1]))


@pytest.mark.parametrize("word", ["unknown", "0000-00-00", "00.00.0000 00:00", "n.d."])
def test_words_for_no_date(word: str, tmp_path: Path) -> None:
    cells = [word if row % 10 == 3 else moment.strftime("%d.%m.%Y %H:%M") for row, moment in enumerate(DAYS)]
    dataset = dated(tmp_path, cells)
    assert dataset.columns[0].words == (word,)
    blank = np.array([cell == word for cell in cells])[dataset.rows["x"].to_numpy().astype(int)]  # type: ignore[call-overload]
    np.testing.assert_array_equal(dataset.rows["when"].isna(), blank)  # type: ignore[call-overload]
    assert any(f'"{word}"' in note for note in dataset.notes)
    _, fitted = data.prepare(dataset, scale="none")
    rows = [pd.DataFrame({"when": [cell], "x": ["1"]}) for cell in (word, "")]
    np.testing.assert_array_equal(fitted.transform(rows[0]), fitted.transform(rows[1]))
    with pytest.raises(DataError, match="not a date"):
        fitted.transform(pd.DataFrame({"when": ["soon"], "x": ["1"]}))


@pytest.mark.parametrize("day", ["%d.%m.%Y", "%m/%d/%Y", "%d-%b-%Y"])
def test_midnights_without_a_time(day: str, tmp_path: Path) -> None:
    moments = DAYS + pd.to_timedelta(np.arange(60) % 3 * 605, "min")
    cells = [each.strftime(day if each == each.floor("D") else f"{day} %H:%M") for each in moments]
    dataset = dated(tmp_path, cells)
    place = dataset.rows["x"].to_numpy().astype(int)  # type: ignore[call-overload]
    np.testing.assert_array_equal(dataset.rows["when"], moments.to_numpy()[place])  # type: ignore[call-overload]


def test_labels_beside_a_word_for_none_stay_labels(tmp_path: Path) -> None:
    assert dated(tmp_path, ["red", "unknown", "blue"] * 20).columns[0].kind == "category"
    assert set(dated(tmp_path, ["red", "unknown", "blue"] * 20).rows["when"]) == {"red", "unknown", "blue"}  # type: ignore[call-overload]


def test_births_of_long_ago_are_dates(tmp_path: Path) -> None:
    days = pd.date_range("1900-01-01", periods=60, freq="800D")
    assert not dated(tmp_path, [day.strftime("%Y-%m-%d") for day in days]).rows["when"].isna().any()  # type: ignore[call-overload]


# ── arrays and Parquet ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", [">f4", ">f8", "g", ">i4", ">u2", "f2"])
def test_arrays_of_any_order(dtype: str, tmp_path: Path) -> None:
    x = np.arange(120.0).reshape(60, 2)
    np.savez(tmp_path / "a.npz", x=x.astype(dtype), y=(np.arange(60) % 3).astype(">i8"))
    dataset, _ = data.load(DataSpec(source="a.npz", folder=tmp_path))
    assert dataset.rows.dtype.isnative  # type: ignore[union-attr]
    assert set(map(tuple, np.asarray(dataset.rows))) <= set(map(tuple, x))


def test_images_with_channels_first_and_targets_one_hot(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 10, 12, 3)).astype(np.uint8)
    codes = np.arange(60) % 3
    np.savez(tmp_path / "a.npz", x=np.moveaxis(images, -1, 1), y=np.eye(3)[codes])
    found = read(DataSpec(source="a.npz", folder=tmp_path))
    np.testing.assert_array_equal(found.rows, images)
    np.testing.assert_array_equal(found.y, codes)
    assert [("channels first" in note, "one-hot" in note) for note in found.notes] == [
        (True, False),
        (False, True),
    ]
    several = np.eye(3)[codes]
    several[0] = 1  # a row with every label: these are three targets
    np.savez(tmp_path / "b.npz", x=images, y=several)
    np.testing.assert_array_equal(read(DataSpec(source="b.npz", folder=tmp_path)).y, several)


def test_one_hot_is_judged_by_training_targets(tmp_path: Path) -> None:
    x, y = np.arange(60.0).reshape(30, 2), np.eye(3)[np.arange(30) % 3]
    y[0] = 1
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[5:20] + 99, y_test=y[5:20])
    from workbench.data.sources import read_official

    spec = DataSpec(source="a.npz", folder=tmp_path)
    assert read_official(spec).y.shape == (15, 3)  # type: ignore[union-attr]


def nested(path: Path) -> None:
    table = pa.table(
        {name: [float(row * row % times) for row in range(60)] for name, times in (("a", 17), ("b", 23))}
    )
    table = table.append_column("tags", pa.array([[1, 2]] * 60)).append_column(
        "at", pa.array([{"x": 1}] * 60)
    )
    table = table.append_column("took", pa.array(range(60), pa.duration("s")))
    pq.write_table(table.append_column("y", pa.array(["u", "v"] * 30)), path)


def test_nested_columns(tmp_path: Path) -> None:
    nested(tmp_path / "p.parquet")
    spec = DataSpec(source="p.parquet", folder=tmp_path, target="y")
    dataset, _ = data.load(spec)
    assert [column.name for column in dataset.columns] == ["a", "b"]
    assert any('"tags", "at", "took"' in note for note in dataset.notes)
    quiet, _ = data.load(
        DataSpec(source="p.parquet", folder=tmp_path, target="y", drop=("tags", "at", "took"))
    )
    assert not quiet.notes
    assert quiet.fingerprint == dataset.fingerprint
    with pytest.raises(DataError, match="whose cells are not numbers"):
        data.load(DataSpec(source="p.parquet", folder=tmp_path, target="y", features=("tags",)))
    made = new(tmp_path / "p.parquet", "y", tmp_path / "p.toml")
    assert read_study(tmp_path / "p.toml").data.drop == ("tags", "at", "took")
    assert any("tags" in said for said in made["assumptions"])


def test_whole_numbers_that_are_too_large(tmp_path: Path) -> None:
    ids = pa.array(np.arange(60, dtype=np.uint64) + np.uint64(2**63))
    for cells in (ids, ids.cast(pa.string())):
        table = pa.table({"a": pa.array(np.arange(60.0)), "v": cells, "y": pa.array(["u", "v"] * 30)})
        pq.write_table(table, tmp_path / "p.parquet")
        dataset, _ = data.load(DataSpec(source="p.parquet", folder=tmp_path, target="y"))
        assert [column.name for column in dataset.columns] == ["a"]
        assert [note for note in dataset.notes if "too large to be told apart" in note and '"v"' in note]
        assert not [note for note in dataset.notes if "same" in note]
    labels, _ = data.load(DataSpec(source="p.parquet", folder=tmp_path, target="y", categorical=("v",)))
    assert labels.columns[1].kind == "category"


def test_a_study_says_how_its_file_is_written(tmp_path: Path) -> None:
    rows = "".join(f"{row}.250;é{row % 2}\n" for row in range(1, 61))
    (tmp_path / "d.csv").write_bytes(f"x;y\n{rows}".encode("cp1252"))
    study = tmp_path / "s.toml"
    study.write_text(
        'name = "s"\n[data]\nsource = "d.csv"\ntarget = "y"\ndecimal = ","\nencoding = "cp1252"\n',
        encoding="utf-8",
    )
    dataset, _ = data.load(read_study(study).data)
    assert dataset.rows["x"].min() >= 1250  # type: ignore[call-overload]
    assert dataset.classes == ("é0", "é1")
    study.write_text(study.read_text().replace('decimal = ","', 'thousands = "."'))
    assert data.load(read_study(study).data)[0].fingerprint == dataset.fingerprint


def test_an_archive_that_says_it_is_encrypted(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((40, 2)), y=np.arange(40) % 2)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    for mark, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = content.find(mark)
        while place >= 0:
            content[place + flags] |= 0x40
            place = content.find(mark, place + 4)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz: is not a readable \.npz archive"):
        data.load(DataSpec(source="a.npz", folder=tmp_path))
