"""Tables whose values are known, written as people, programs and countries write them."""

from __future__ import annotations

import gzip
import io
import zipfile
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pyarrow as pa

#: The decimal mark, the mark between thousands, what stands between cells.
LOCALES = (
    *((".", "", ","), (".", ",", ","), (".", ",", ";"), (".", ",", "\t"), (".", "'", ";"), (".", " ", ",")),
    *(
        (",", ".", ";"),
        (",", "", ";"),
        (",", "\u202f", ";"),
        (",", "\u00a0", "\t"),
        (",", " ", ";"),
        (",", ".", "|"),
    ),
    *((".", "\u2019", ";"), (",", ".", ",")),
)
DAYS = (
    *("%Y-%m-%d", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y", "%d-%b-%Y", "%d %B %Y"),
    *("%Y/%m/%d %H:%M", "%b %d, %Y", "%Y-%m-%dT%H:%M:%S", "%m/%d/%Y %I:%M %p"),
)
TITLES = (
    *("# made by hand\n", "# a\n# b, c\n\n", "Report of 2024\n", "\n\n", "Sales\n\nall, regions\n"),
    *("", "", ""),
)
ODD = ("Total", "n.d.", "unknown", "<0.1", "-", "missing")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252")


@dataclass
class Table:
    """A file, and what is in it.

    values  of every column, NaN and NaT for blanks; `k` numbers the rows
    sure    a column decides how its numbers are read
    """

    name: str
    content: bytes
    values: dict[str, np.ndarray]
    sure: bool = True
    text: str = field(default="", repr=False)


def number(value: float, places: int, decimal: str, thousands: str, minus: str = "-") -> str:
    """A number in a locale: Python's own format, with its marks exchanged."""
    text = f"{abs(value):,.{places}f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands)
    if value >= 0 or float(f"{value:.{places}f}") == 0:
        return text
    return f"({text})" if minus == "()" else f"{text}-" if minus == "after" else minus + text


def table(seed: int, rows: int = 40) -> Table:
    """A table of numbers, labels, dates, and a target y of numbers, in some form."""
    random = Random(seed)
    decimal, thousands, separator = random.choice(LOCALES)
    minus, unit = (
        random.choice(("-", "-", "-", "−", "()", "after")),
        random.choice(("", "", "", "€", "$", "%")),
    )
    decisive = random.random() < 0.8
    columns: dict[str, list[str]] = {"k": [str(row) for row in range(rows)]}
    values: dict[str, np.ndarray] = {"k": np.arange(rows, dtype=float)}
    large = np.array([float(random.randint(0, 10 ** random.randint(1, 7))) for _ in range(rows)])
    columns["n"], values["n"] = [number(each, 0, decimal, thousands) for each in large], large
    three = np.array([round(random.uniform(1, 900), 3) for _ in range(rows)])
    columns["t"], values["t"] = [number(each, 3, decimal, thousands) for each in three], three
    if decisive:
        _decisive(columns, values, random, (decimal, thousands, minus, unit))
    day = random.choice(DAYS)
    precise = "min" if "%H" in day or "%I" in day else "D"
    moments = pd.to_datetime([f"20{random.randint(10, 30)}-{random.randint(1, 12)}-13" for _ in range(rows)])
    moments += pd.to_timedelta(
        [random.randint(0, 17) * 1440 + random.randint(0, 1439) for _ in range(rows)], "min"
    )
    moments = moments.floor(precise)
    moments = moments.where(moments != moments.min(), pd.Timestamp("2024-03-31"))
    columns["when"], values["when"] = [each.strftime(day) for each in moments], moments.to_numpy()
    columns["y"], values["y"] = columns.pop("t"), values.pop("t")
    columns["label, é"] = [random.choice(("ä", "b", "c")) for _ in range(rows)]
    names = list(columns)
    random.shuffle(names)
    text = _text(names, columns, separator, random)
    name, content = _packed(text, random)
    return Table(name, content, values, sure=decisive, text=text)


def _decisive(
    columns: dict[str, list[str]],
    values: dict[str, np.ndarray],
    random: Random,
    how: tuple[str, str, str, str],
) -> None:
    """Columns of cents, of money, and of tenths with some odd cells, which show the decimal mark."""
    decimal, thousands, minus, unit = how
    rows = len(columns["k"])
    values["d"] = np.array([round(random.gauss(0, 30), 2) for _ in range(rows)])
    columns["d"] = [number(each, 2, decimal, thousands, minus) for each in values["d"]]
    values["m"] = np.array([round(random.uniform(-9_000, 90_000), 2) for _ in range(rows)])
    columns["m"] = [
        _dressed(number(each, 2, decimal, thousands, minus), unit, random) for each in values["m"]
    ]
    odd, few = random.choice(ODD), {random.randrange(rows) for _ in range(random.randint(0, 2))}
    values["o"] = np.array([np.nan if row in few else round(random.gauss(50, 9), 1) for row in range(rows)])
    columns["o"] = [
        odd if row in few else number(each, 1, decimal, thousands) for row, each in enumerate(values["o"])
    ]


def _dressed(text: str, unit: str, random: Random) -> str:
    """A number with a sign of its unit, which a percent has behind."""
    if not unit:
        return text
    if unit == "%" or (random.random() < 0.5 and not text.startswith("(")):
        return f"{text} {unit}" if unit != "%" else f"{text}%"
    sign, digits = (text[0], text[1:]) if text[0] in "-−(" else ("", text)
    return f"{sign}{unit}{digits}"


def _text(names: list[str], columns: dict[str, list[str]], separator: str, random: Random) -> str:
    def line(cells: list[str]) -> str:
        quoted = [
            f'"{cell}"' if separator in cell or ("," in cell and random.random() < 0.5) else cell
            for cell in cells
        ]
        return separator.join(quoted) + end

    end = random.choice(("", "", "", separator))
    lines = [line(names)]
    again = random.randrange(len(columns["k"])) if random.random() < 0.2 else -1
    for row in range(len(columns["k"])):
        lines.append(line([columns[name][row] for name in names]))
        lines += [lines[0]] if row == again else []
    if random.random() < 0.15 and not end:
        lines = [f"{separator}{lines[0]}", *(f"{row}{separator}{text}" for row, text in enumerate(lines[1:]))]
    above = f"sep={separator}\n" if random.random() < 0.15 and separator != "\t" else random.choice(TITLES)
    return (above + "\n".join(lines) + "\n").replace("\n", random.choice(("\n", "\r\n")))


def _packed(text: str, random: Random) -> tuple[str, bytes]:
    encoding = random.choice(ENCODINGS)
    try:
        content = text.encode(encoding)
    except UnicodeEncodeError:
        content = text.encode()
    kind = random.choice(("csv", "csv", "csv", "csv.gz", "csv.zip"))
    if kind == "csv.gz":
        content = gzip.compress(content, 1)
    elif kind == "csv.zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("t.csv", content)
        content = packed.getvalue()
    return f"t.{kind}", content


FLOATS = ("f2", "f4", "f8", ">f4", ">f8", "g")
WHOLE = ("i1", "i2", ">i2", "i4", ">i4", "i8", ">i8", "u1", "u2", ">u2", "u4", "u8")


def arrays(seed: int, rows: int = 40) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """The arrays of an archive; x [N, *F] and y [N] as they are to be read."""
    random, draw = Random(seed), np.random.default_rng(seed)
    dtype = np.dtype(random.choice(FLOATS + WHOLE))
    shape = random.choice(((3,), (12, 14, 3), (12, 14, 1), (9, 8)))
    x = draw.integers(0, 100, (rows, *shape)).astype(np.float64)
    x[:, 0] += np.arange(rows).reshape(-1, *([1] * (x.ndim - 2))) % 27  # no two rows alike
    y = np.arange(rows) % 4
    held = {"x": x.astype(dtype), "y": y.astype(random.choice(WHOLE))}
    if x.ndim == 4 and random.random() < 0.5:
        held["x"] = np.moveaxis(held["x"], -1, 1)
    if random.random() < 0.4:
        held["y"] = np.eye(4, dtype=random.choice(("u1", "f4", ">i4", "?")))[y]
    return held, x if x.ndim != 3 else x[..., np.newaxis], y


def frame(seed: int, rows: int = 40) -> tuple[pa.Table, dict[str, np.ndarray]]:
    """A table of Parquet's types, a nested column among them, and its values."""
    random, draw = Random(seed), np.random.default_rng(seed)
    numbers = draw.integers(0, 100, rows).astype(np.float64)
    blank = draw.random(rows) < random.choice((0.0, 0.1))
    kinds = (
        pa.int8(),
        pa.int64(),
        pa.uint16(),
        pa.uint64(),
        pa.float16(),
        pa.float32(),
        pa.float64(),
        pa.decimal128(9, 2),
    )
    kind = random.choice(kinds)
    cells = [
        None if gone else Decimal(int(n)) if pa.types.is_decimal(kind) else n
        for n, gone in zip(numbers, blank, strict=True)
    ]
    if pa.types.is_integer(kind):
        cells = [None if cell is None else int(cell) for cell in cells]
    elif pa.types.is_float16(kind):
        cells = [None if cell is None else np.float16(cell) for cell in cells]
    moments = pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 10**6, rows), "s")
    stamp = random.choice(
        (pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us", "Europe/Berlin"), pa.timestamp("ns"))
    )
    words = pa.array(draw.choice(["u", "v", "w"], rows))
    columns = {
        "k": pa.array(np.arange(rows)),
        "n": pa.array(cells, kind),
        "when": pa.array(moments.to_numpy().astype("datetime64[us]"), pa.timestamp("us", stamp.tz)).cast(
            stamp
        ),
        "word": random.choice((words, words.dictionary_encode(), words.cast(pa.large_string()))),
        "nested": pa.array([[1, 2]] * rows) if random.random() < 0.5 else pa.array([{"a": 1}] * rows),
        "y": pa.array(numbers * 2 + 0.5),
    }
    return pa.table(columns), {
        "k": np.arange(rows, dtype=float),
        "n": np.where(blank, np.nan, numbers),
        "when": moments.to_numpy(),
    }


def write(made: Table, folder: Path) -> Path:
    """The file in a folder."""
    path = folder / made.name
    path.write_bytes(made.content)
    return path
