"""Numbers are read one way throughout a file, by `predict` as in training; odd cells do not cost a column."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from workbench import data
from workbench.core.errors import DataError
from workbench.core.types import DataSpec
from workbench.data.dataset import Dataset
from workbench.data.preprocessing import Preprocessor, numerals
from workbench.data.preprocessing.numerals import Form
from workbench.data.preprocessing.tables import Column, conform

ROWS = 60


def loaded(tmp_path: Path, columns: dict[str, list[str]], separator: str = ",", **keys: object) -> Dataset:
    lines = [separator.join(columns), *(separator.join(row) for row in zip(*columns.values(), strict=True))]
    (tmp_path / "d.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return data.load(DataSpec(source="d.csv", folder=tmp_path, **{"target": "y", **keys}))[0]  # type: ignore[arg-type]


def written(form: str, value: float) -> str:
    """A number in the words of a form, by Python's own format."""
    kind = Form.of(form)
    places = 2 if value != int(value) else 0
    text = f"{value:,.{places}f}" if kind.thousands else f"{value:.{places}f}"
    text = text.replace(",", "\0").replace(".", kind.decimal).replace("\0", kind.thousands)
    return text + kind.unit if kind.unit == "%" else kind.unit + text


@pytest.mark.parametrize(
    "form",
    [
        *(
            "plain",
            "thousands",
            "thousands space",
            "thousands apostrophe",
            "decimal comma",
            "%",
            "$",
            "thousands, €",
        ),
        *(
            "decimal comma, thousands point",
            "decimal comma, thousands space",
            "decimal comma, thousands point, €",
        ),
    ],
)
def test_every_form_is_read(form: str, tmp_path: Path) -> None:
    random = Random(form)
    values = [round(random.uniform(0, 90_000), random.choice((0, 2))) for _ in range(ROWS)]
    columns = {"k": [str(row) for row in range(ROWS)], "y": [written(form, value) for value in values]}
    dataset = loaded(tmp_path, {**columns, "x": columns["y"]}, ";")
    place = dataset.rows["k"].to_numpy().astype(int)  # type: ignore[call-overload]
    np.testing.assert_allclose(dataset.target[:, 0], np.array(values)[place], rtol=1e-6)
    np.testing.assert_array_equal(dataset.rows["x"], np.array(values)[place])  # type: ignore[call-overload]
    assert dataset.forms == (form,)
    assert dataset.columns[-1] == Column("x", "numeric", form)
    assert Form.of(form).words == form
    assert dataset.summary().get("read as") == (None if form == "plain" else f"y, x: {form}")


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        *(
            ("−5", -5),
            ("(1,234.50)", -1234.5),
            ("$ 5", 5),
            ("-$5.25", -5.25),
            ("$-5.25", -5.25),
            ("$(5)", -5),
        ),
        *(("US$5", 5), ("5-", -5), ("1\u202f234.5", 1234.5), ("1\u00a0234", 1234), ("1’234.5", 1234.5)),
        *(("12,34,567.5", 1234567.5), ("1e3", 1000), ("+.5", 0.5), ("5.", 5), (".5", 0.5), ("", np.nan)),
        *(("NA", np.nan), ("-Infinity", np.nan), ("$1,234", 1234), ("5'000.-", 5000), ("5.--", 5)),
        *(("–5", -5), ("１２．５", 12.5), ("٣٫٥", 3.5), ("￥1,234", 1234), ("5 円", 5), ("Fr. 5.50", 5.5)),
    ],
)
def test_cells(cell: str, value: float) -> None:
    text = (
        pa.array([cell or None, "0.25"]) if cell not in ("", "NA") else pa.array([None, "0.25"], pa.string())
    )
    found = numerals.form_of(text, numerals.Written())
    assert found is not None
    _, values, unread = found
    np.testing.assert_array_equal(values, [value, 0.25])
    assert not unread.any()


@pytest.mark.parametrize(
    "cell",
    [
        *("1.2.3", "1,23", "0,123,456", "12,3456", "5%", "€5", "(5", "--5", "1 23", "1_000", "0x1F"),
        *("5 apples", "5 % €", "(5-)", "1.5×10^3", "5±1", "1/2", "5 plain", "5 thousands"),
    ],
)
def test_what_is_no_number_beside_dollars(cell: str) -> None:
    _, unread = numerals.read(pa.array([cell, "$1.50"]), Form(unit="$"))
    assert unread.tolist() == [True, False]


def test_other_columns_decide(tmp_path: Path) -> None:
    """1,250 is 1.25 beside 3,9, and 1250 beside 3.9; the target is no exception, and is told first."""
    three = [f"{1 + row % 7},{100 + 7 * row}" for row in range(ROWS)]
    plain = np.array([float(cell.replace(",", ".")) for cell in three], np.float32)
    german = loaded(tmp_path, {"x": [f"{row},5" for row in range(ROWS)], "y": three, "z": three}, ";")
    place = german.rows["x"].to_numpy().astype(int)  # type: ignore[call-overload]
    np.testing.assert_array_equal(german.target[:, 0], plain[place])
    assert german.notes[0] == 'd.csv: target "y" was read as written with decimal comma.'
    english = loaded(tmp_path, {"x": [f"{row}.5" for row in range(ROWS)], "y": three, "z": three}, ";")
    np.testing.assert_array_equal(
        english.target[:, 0], np.rint(1000 * plain)[english.rows["x"].to_numpy().astype(int)]
    )  # type: ignore[call-overload]


def test_what_two_readings_have_is_said_and_settled(tmp_path: Path) -> None:
    points = [f"{row * 10 + 5}" if row % 3 == 0 else f"{1 + row}.{row:02}0" for row in range(ROWS)]
    columns = {"k": [str(row) for row in range(ROWS)], "x": points, "y": ["u", "v"] * (ROWS // 2)}
    thousands = [float(cell.replace(".", "")) for cell in points]
    for keys, values in (
        ({}, thousands),
        ({"thousands": "."}, thousands),
        ({"decimal": "."}, [float(p) for p in points]),
    ):
        dataset = loaded(tmp_path, columns, ";", **keys)
        place = dataset.rows["k"].to_numpy().astype(int)  # type: ignore[call-overload]
        np.testing.assert_array_equal(dataset.rows["x"], np.array(values)[place])  # type: ignore[call-overload]
        told = [note for note in dataset.notes if "two readings" in note]
        assert len(told) == (not keys)


def test_test_rows_decide_nothing(tmp_path: Path) -> None:
    """The development rows are the same whatever the test rows hold."""
    rows = 80
    columns = {"k": [str(row) for row in range(rows)], "x": [f"{1 + row}.250" for row in range(rows)]}
    columns["y"] = [str(row) for row in range(rows)]
    before = loaded(tmp_path, {**columns, "t": columns["k"]}, ";", time="t")
    for cell in ("1,5", "Total", "<0.1", "(5)", "1.250.000"):
        columns["x"][-1] = cell
        after = loaded(tmp_path, {**columns, "t": columns["k"]}, ";", time="t")
        assert after.fingerprint == before.fingerprint
        assert after.columns == before.columns


def trained(tmp_path: Path, **columns: list[str]) -> Preprocessor:
    dataset = loaded(tmp_path, {**columns, "y": ["u", "v"] * (ROWS // 2)}, ";")
    _, fitted = data.prepare(dataset, scale="none")
    return Preprocessor.from_json(fitted.to_json())


COMMAS = [f"{row},{row % 9 + 1}5" for row in range(ROWS)]


@pytest.mark.parametrize(
    ("rows", "value"),
    [
        ({"a": ["2,145"], "b": ["7,5"]}, 2.145),
        ({"a": ["2.145"], "b": ["7.5"]}, 2.145),
        ({"a": ["2.145", "0.678"], "b": ["1.250", "2.250"]}, 2.145),
        ({"a": ["2.145,00"], "b": ["7"]}, 2145),
        ({"a": [2.145], "b": [7.5]}, 2.145),
        ({"a": ["2.145"], "b": ["7.555"]}, None),
        ({"a": ["2.145"], "b": ["7"]}, None),
        ({"a": ["2.145%"], "b": ["7,5"]}, None),
        ({"a": ["2,145"], "b": ["7,5,1"]}, None),
    ],
)
def test_another_form_is_converted_or_refused(
    rows: dict[str, list[str]], value: float | None, tmp_path: Path
) -> None:
    """2.145 is never 2145 where training had decimal commas and no point between thousands."""
    fitted = trained(tmp_path, a=COMMAS, b=COMMAS[::-1])
    if value is None:
        with pytest.raises(DataError, match="holds"):
            fitted.transform(pd.DataFrame(rows))
    else:
        assert fitted.transform(pd.DataFrame(rows))[0, 0] == np.float32(value)


def test_thousands_of_training_are_thousands_again(tmp_path: Path) -> None:
    fitted = trained(tmp_path, a=[f"{row + 1}.{row:02}0" if row % 2 else f"{row},5" for row in range(ROWS)])
    assert fitted.transform(pd.DataFrame({"a": ["2.145"]}))[0, 0] == 2145


def test_percent_stays_percent(tmp_path: Path) -> None:
    fitted = trained(tmp_path, a=[f"{row}.5%" for row in range(ROWS)])
    assert fitted.transform(pd.DataFrame({"a": ["24.06 %"]}))[0, 0] == np.float32(24.06)
    with pytest.raises(DataError, match=r"0\.24.* where numbers in training are in %"):
        fitted.transform(pd.DataFrame({"a": ["0.24"]}))


@pytest.mark.parametrize("unit", ["kg", "°C", "mg/dL", "m²", "Stück", "‰", '"'])
@pytest.mark.parametrize("gap", ["", " "])
def test_units_of_measure(unit: str, gap: str, tmp_path: Path) -> None:
    values = [round(row * 1.37 - 9, 1) for row in range(ROWS)]
    cells = [f'"{value}{gap}{unit}"'.replace('""', '"""') for value in values]
    columns = {"k": [str(row) for row in range(ROWS)], "x": cells, "y": ["u", "v"] * (ROWS // 2)}
    dataset = loaded(tmp_path, columns)
    place = dataset.rows["k"].to_numpy().astype(int)  # type: ignore[call-overload]
    np.testing.assert_array_equal(dataset.rows["x"], np.array(values)[place])  # type: ignore[call-overload]
    assert any(
        note.endswith(f"were read as written with {dataset.columns[1].form}.") for note in dataset.notes
    )
    _, fitted = data.prepare(dataset, scale="none")
    again = Preprocessor.from_json(fitted.to_json())
    same = [again.transform(pd.DataFrame({"k": ["1"], "x": [f"2,5{space}{unit}"]})) for space in ("", " ")]
    assert same[0][0].tolist() == same[1][0].tolist() == [1.0, 2.5]
    for other in ("2.5", "2.5 lb"):
        with pytest.raises(DataError, match="where numbers in training are in"):
            again.transform(pd.DataFrame({"k": ["1"], "x": [other]}))


def test_units_that_are_not_one(tmp_path: Path) -> None:
    """Grams are not kilograms, dollars no euros: numbers of both are refused, or labels if they are few."""
    y = ["u", "v"] * (ROWS // 2)
    for units, listed in (("g kg", '"g", "kg"'), ("$ €", r'"\$", "€"'), ("k M", '"M", "k"')):
        one, other = units.split()
        many = [f"{row}.5 {other if row % 2 else one}" for row in range(ROWS)]
        with pytest.raises(DataError, match=f"numbers in different units, {listed}; bring them to one"):
            loaded(tmp_path, {"x": many, "y": y})
        dataset = loaded(tmp_path, {"x": many[:10] * (ROWS // 10), "y": y})
        assert dataset.columns[0].kind == "category"
        assert any("have different units" in note for note in dataset.notes)


def test_a_few_in_another_unit_are_blank(tmp_path: Path) -> None:
    cells = [f"{row}.5 km/kg" if row == 3 else f"{row}.5 kmpl" for row in range(ROWS)]
    columns = {"k": [str(row) for row in range(ROWS)], "x": cells, "y": ["u", "v"] * (ROWS // 2)}
    dataset = loaded(tmp_path, columns)
    blank = dataset.rows["k"].to_numpy() == 3  # type: ignore[call-overload]
    np.testing.assert_array_equal(np.isnan(dataset.rows["x"]), blank)  # type: ignore[call-overload]
    assert not blank.any() or any('"3.5 km/kg"' in note for note in dataset.notes)


def test_money_has_no_thousandths(tmp_path: Path) -> None:
    """A comma before three digits, of which some end in 0, is one of thousands where a currency stands."""
    cells = [f"¥{1 + row},{row * 10 % 1000:03}" for row in range(ROWS)]
    columns = {"k": [str(row) for row in range(ROWS)], "x": cells, "y": ["u", "v"] * (ROWS // 2)}
    dataset = loaded(tmp_path, columns, ";")
    place = dataset.rows["k"].to_numpy().astype(int)  # type: ignore[call-overload]
    wanted = np.array([1000.0 * (1 + row) + row * 10 % 1000 for row in range(ROWS)])[place]
    np.testing.assert_array_equal(dataset.rows["x"], wanted)  # type: ignore[call-overload]


def test_a_column_that_was_plain_stays_plain() -> None:
    rows = pd.DataFrame({"a": ["1.250", "2.250"], "b": ["0,5", "1,5"]})
    found, _ = conform(rows, [Column("a", "numeric", "plain")], "t")
    assert found["a"].tolist() == [1.25, 2.25]


@pytest.mark.parametrize(
    ("odd", "count", "numbers"),
    [
        *(("Total", 1, 60), ("n.d.", 9, 60), ("unknown", 25, 60), ("<0.1", 20, 60), ("see note", 1, 60)),
        *(("12A", 3, 60), ("unknown", 5, 8), ("Total", 1, 8), ("#DIV/0!", 4, 60), ("#BEZUG!", 25, 60)),
        *(("1.#QNAN", 20, 60), ("keine Angabe", 25, 60), ("#NV", 25, 60)),
    ],
)
def test_odd_cells_are_blank(odd: str, count: int, numbers: int, tmp_path: Path) -> None:
    rows = 100
    cells = [odd if row < count else str(row % numbers + 0.5) for row in range(rows)]
    dataset = loaded(tmp_path, {"k": [str(row) for row in range(rows)], "x": cells, "y": ["u", "v"] * 50})
    column = dataset.columns[1]
    place = dataset.rows["k"].to_numpy().astype(int)  # type: ignore[call-overload]
    wanted = np.array([np.nan if cell == odd else float(cell) for cell in cells])[place]
    np.testing.assert_array_equal(dataset.rows["x"], wanted)  # type: ignore[call-overload]
    if np.isnan(wanted).any():
        assert column == Column("x", "numeric", "plain", (odd,))
        row = int(place[np.isnan(wanted)][0]) + 1
        assert any(f'"{odd}"' in note and f"row {row}" in note and "blank" in note for note in dataset.notes)
        _, fitted = data.prepare(dataset, scale="none")
        again = Preprocessor.from_json(fitted.to_json())
        new = pd.DataFrame({"k": ["1"], "x": [odd]})
        np.testing.assert_array_equal(again.transform(new), fitted.transform(new))
        with pytest.raises(DataError, match="not a number"):
            again.transform(pd.DataFrame({"k": ["1"], "x": ["what"]}))


@pytest.mark.parametrize(
    "cells",
    [
        ["0", "1", "2", "3+"],
        ["1", "2", "two"],
        ["12A", "12", "13B"],
        ["1Story", "2Story", "1.5Fin", "SLvl"],
        ["1st", "2nd", "3rd", "4th"],
        ["< 1 year", "1 year", "2 years", "10+ years"],
        ["01067", "80331", "04109"],
        ["5-9", "10", "15"],
        ["(1)", "(2)", "(3)"],
    ],
)
def test_codes_stay_labels(cells: list[str], tmp_path: Path) -> None:
    column = [cells[row % len(cells)] for row in range(ROWS)]
    dataset = loaded(tmp_path, {"x": column, "y": ["u", "v", "v", "u", "u"] * (ROWS // 5)})
    assert dataset.columns[0].kind == "category"


def test_targets_with_odd_cells_name_the_row(tmp_path: Path) -> None:
    numbers = [f"{row}.5" for row in range(ROWS)]
    for cell, told in (("Total", '"Total" in row 8'), ("inf", "first in row 8")):
        with pytest.raises(DataError, match=told):
            loaded(tmp_path, {"x": numbers, "y": [cell if row == 7 else n for row, n in enumerate(numbers)]})


def test_classes_called_none(tmp_path: Path) -> None:
    for word in ("None", "NA", "null", "n/a"):
        dataset = loaded(
            tmp_path, {"x": [str(row) for row in range(ROWS)], "y": ["a b", "c", word] * (ROWS // 3)}
        )
        assert set(dataset.classes) == {"a b", "c", word}
        assert any(f'"{word}" in {ROWS // 3} rows is taken for a class' in note for note in dataset.notes)
        with pytest.raises(DataError, match="blank in 1 row of"):
            loaded(
                tmp_path,
                {"x": [str(row) for row in range(ROWS)], "y": [*(["a b", "c", word] * (ROWS // 3))[:-1], ""]},
            )
    with pytest.raises(DataError, match="blank"):  # among numbers it is no value
        loaded(
            tmp_path,
            {"x": [str(row) for row in range(ROWS)], "y": [*(f"{row}.5" for row in range(ROWS - 1)), "NA"]},
        )


def test_labels_that_are_nearly_alike(tmp_path: Path) -> None:
    y = ["Yes", "yes", " Yes", "NO", "no ", "No"] * (ROWS // 6)
    dataset = loaded(
        tmp_path, {"x": [str(row) for row in range(ROWS)], "c": ["New York", "new  york", "b"] * 20, "y": y}
    )
    assert any(
        'differ in case or spaces alone: "NO", "No", "no"; "Yes", "yes"' in note for note in dataset.notes
    )
    assert any('"c" differ in case' in note and '"New York", "new  york"' in note for note in dataset.notes)


def test_an_official_file_may_be_written_otherwise(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{row}.75,{row + 1}.125\n" for row in range(20)))
    columns = {"x": COMMAS, "y": [f"{row},125" for row in range(ROWS)]}
    lines = [";".join(columns), *(";".join(row) for row in zip(*columns.values(), strict=True))]
    (tmp_path / "d.csv").write_text("\n".join(lines))
    spec = DataSpec(source="d.csv", folder=tmp_path, target="y", test="t.csv")
    dataset, sealed = data.load(spec)
    from workbench.core.records import Opening
    from workbench.data.seal import unseal

    opening = Opening.__new__(Opening)
    object.__setattr__(opening, "seal", sealed.fingerprint)
    rows = unseal(sealed, dataset, opening)
    np.testing.assert_array_equal(rows.target[:, 0], np.arange(20) + 1.125)
    np.testing.assert_array_equal(rows.x["x"], np.arange(20) + 0.75)  # type: ignore[call-overload]
