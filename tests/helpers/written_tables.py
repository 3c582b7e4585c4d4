"""Files whose values are known, written as people, programs and countries write them.

One number draws one file. What it holds is drawn first, then how it is written, so that the same table can be
written again in another way. `written_files` reads them.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from random import Random

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

#: The decimal mark, the mark between thousands, what stands between cells.
LOCALES = (
    *((".", "", ","), (".", ",", ","), (".", ",", ";"), (".", ",", "\t"), (".", "'", ";"), (".", " ", ",")),
    *((",", ".", ";"), (",", "", ";"), (",", "\u202f", ";"), (",", "\u00a0", "\t"), (",", " ", ";")),
    *((",", ".", "|"), (".", "\u2019", ";"), (",", ".", ","), (".", "", "|")),
)
_NAMES = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janv. févr. mars avril mai juin juil. août sept. oct. nov. déc.",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
}
MONTHS = {language: names.split() for language, names in _NAMES.items()}


def _formatted(form: str) -> Callable[[pd.Timestamp], str]:
    return lambda moment: moment.strftime(form)


#: How moments are written, and what is left of them then.
MOMENTS: tuple[tuple[Callable[[pd.Timestamp], str], str], ...] = (
    *((_formatted(form), "D") for form in ("%Y-%m-%d", "%d.%m.%Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y")),
    *((_formatted(form), "D") for form in ("%Y%m%d", "%d.%m.%y", "%a, %d %b %Y", "%d-%m-%Y", "%d/%b/%Y")),
    *(
        (_formatted(form), "s")
        for form in ("%d/%m/%Y %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S UTC")
    ),
    *((_formatted(form), "min") for form in ("%d.%m.%Y %H:%M", "%Y/%m/%d %H:%M", "%m/%d/%Y %I:%M %p")),
    *((_formatted(form), "min") for form in ("%d.%m.%Y, %H:%M Uhr", "%Y-%m-%d %H:%M+00:00", "%Y%m%d%H%M")),
    *((_formatted(form), "MS") for form in ("%Y-%m", "%b-%y", "%m/%Y", "%B %Y")),
    (lambda moment: f"{moment.day}. {MONTHS['de'][moment.month - 1]} {moment.year}", "D"),
    (lambda moment: f"{moment.day} {MONTHS['fr'][moment.month - 1]} {moment.year}", "D"),
    (lambda moment: f"{moment.day} de {MONTHS['es'][moment.month - 1]} de {moment.year}", "D"),
    (lambda moment: f"{moment.year}年{moment.month}月{moment.day}日", "D"),
    (lambda moment: f"Q{moment.quarter} {moment.year}", "QS"),
    (lambda moment: f"{moment.year}-Q{moment.quarter}", "QS"),
    (lambda moment: "{}-W{:02}".format(*moment.isocalendar()[:2]), "W"),
    (_formatted("%H:%M"), "clock"),
)
UNITS = ("", "", "", "€", "$", "%", "kg", "°C", "mg/dL", "CHF", "m²")
ODD = ("Total", "n.d.", "unknown", "<0.1", "-", "missing", "#DIV/0!", "#WERT!", "k.A.")
ABOVE = (
    *("# made by hand\n", "# a\n# b, c\n\n", "Report of 2024\n", "\n\n", "Sales\n\nall, regions\n"),
    *("", "", ""),
)
BELOW = ("", "", "", "(40 rows affected)\n", "\nSource: office\n", "\x1a", "\n\n")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252")
ROWS = 40


@dataclass
class Table:
    """A file, and what is in it.

    values  of every column, NaN and NaT for blanks; `k` numbers the rows
    sure    a column decides how its numbers are read
    """

    name: str
    content: bytes
    values: Mapping[str, np.ndarray]
    sure: bool = True
    text: str = field(default="", repr=False)


@dataclass
class Values:
    """What a table holds, before it is written."""

    numbers: dict[str, np.ndarray]
    moments: np.ndarray
    how: Callable[[pd.Timestamp], str]
    labels: dict[str, np.ndarray]
    odd: tuple[str, frozenset[int]]
    unit: str
    decisive: bool


def number(value: float, places: int, decimal: str, thousands: str, minus: str = "-") -> str:
    """A number in a locale: Python's own format, with its marks exchanged."""
    text = f"{abs(value):,.{places}f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands)
    if value >= 0 or float(f"{value:.{places}f}") == 0:
        return text
    return f"({text})" if minus == "()" else f"{text}-" if minus == "after" else minus + text


def drawn(seed: int) -> Values:
    """Numbers, labels, moments, and a target y of numbers."""
    random = Random(seed)
    decisive, rows = random.random() < 0.8, range(ROWS)
    odd = random.choice(ODD), frozenset(random.randrange(ROWS) for _ in range(random.randint(0, 2)))
    numbers = {
        "k": np.arange(ROWS, dtype=float),
        "n": np.array([float(random.randint(0, 10 ** random.randint(1, 7))) for _ in rows]),
        "y": np.array([round(random.uniform(1, 900), 3) for _ in rows]),
    }
    if decisive:  # cents, money, tenths with some odd cells, powers: they show the decimal mark
        numbers["d"] = np.array([round(random.gauss(0, 30), 2) for _ in rows])
        numbers["m"] = np.array([round(random.uniform(-9_000, 90_000), 2) for _ in rows])
        numbers["o"] = np.array([np.nan if row in odd[1] else round(random.gauss(50, 9), 1) for row in rows])
        numbers["e"] = np.array(
            [float(f"{random.gauss(0, 1) * 10 ** random.randint(-5, 9):.3e}") for _ in rows]
        )
    days = [f"20{random.randint(10, 30)}-{random.randint(1, 12)}-{random.choice((13, 28))}" for _ in rows]
    minutes = [random.randint(0, 1439) for _ in rows]
    moments = pd.to_datetime(days) + pd.to_timedelta(minutes, "min")
    how, precise = random.choice(MOMENTS)
    labels = {
        "label, é": np.array([random.choice(("ä", "b", "c, d")) for _ in rows], object),
        "zip": np.array([f"{random.choice((1067, 4109, 9111, 80331)):05}" for _ in rows], object),
    }
    return Values(numbers, _floor(moments, precise), how, labels, odd, random.choice(UNITS), decisive)


def _floor(moments: pd.DatetimeIndex, precise: str) -> np.ndarray:
    """What is left of moments that are written with days, months, quarters, weeks or hours alone."""
    if precise == "clock":
        return (moments - moments.normalize() + pd.Timestamp("1900-01-01")).to_numpy()
    if precise == "W":
        found = [pd.Timestamp(date.fromisocalendar(*moment.isocalendar()[:2], 1)) for moment in moments]
        return pd.DatetimeIndex(found).to_numpy()
    if precise in ("MS", "QS"):
        return moments.to_period(precise[0]).start_time.to_numpy()
    return moments.floor(precise).to_numpy()


def table(seed: int, writing: int | None = None) -> Table:
    """The table of a seed, written in the way that another number draws."""
    values, random = drawn(seed), Random(f"{seed} {writing}")
    decimal, thousands, separator = random.choice(LOCALES)
    minus = random.choice(("-", "-", "-", "−", "()", "after"))
    places = {"n": 0, "y": 3, "d": 2, "o": 1}
    columns: dict[str, list[str]] = {"k": [str(row) for row in range(ROWS)]}
    for name, how_many in places.items():
        sign = minus if name == "d" else "-"
        columns |= {
            name: [number(each, how_many, decimal, thousands, sign) for each in values.numbers[name]]
            for name in (name,)
            if name in values.numbers
        }
    if values.decisive:
        word, few = values.odd
        columns["o"] = [word if row in few else cell for row, cell in enumerate(columns["o"])]
        columns["e"] = [f"{each:.3e}".replace(".", decimal) for each in values.numbers["e"]]
        money = [number(each, 2, decimal, thousands, minus) for each in values.numbers["m"]]
        columns["m"] = [_dressed(cell, values.unit, random) for cell in money]
    columns["when"] = [values.how(moment) for moment in pd.DatetimeIndex(values.moments)]
    columns |= {name: list(cells) for name, cells in values.labels.items()}
    names = list(columns)
    random.shuffle(names)
    text = _text(names, columns, separator, random)
    name, content = _packed(text, random)
    known = {**values.numbers, **values.labels, "when": values.moments}
    return Table(name, content, known, sure=values.decisive, text=text)


def _dressed(text: str, unit: str, random: Random) -> str:
    """A number with its unit, which a percent and a measure have behind."""
    if unit not in ("€", "$", "CHF"):
        return text if not unit else f"{text}{random.choice(('', ' '))}{unit}"
    if random.random() < 0.5 and not text.startswith("("):
        return f"{text} {unit}"
    sign, digits = (text[0], text[1:]) if text[0] in "-−(" else ("", text)
    return f"{sign}{unit} {digits}" if unit == "CHF" else f"{sign}{unit}{digits}"


def _text(names: list[str], columns: dict[str, list[str]], separator: str, random: Random) -> str:
    quotes = random.random() < 0.1  # everywhere

    def line(cells: list[str]) -> str:
        quoted = [
            f'"{cell}"' if quotes or separator in cell or ("," in cell and random.random() < 0.5) else cell
            for cell in cells
        ]
        return separator.join(quoted) + end

    end = random.choice(("", "", "", separator))
    lines = [line(names)]
    odd = random.choice(("", "", "", "names", "blank", "comment"))
    where = random.randrange(1, ROWS)
    for row in range(ROWS):
        lines.append(line([columns[name][row] for name in names]))
        if row == where and odd:
            lines.append(
                {"names": lines[0], "blank": separator * (len(names) - 1) + end}.get(odd, "# half way")
            )
    below = random.choice(BELOW)
    if random.random() < 0.15 and not end and odd in ("", "names") and not below.strip():
        lines = [f"{separator}{lines[0]}", *(f"{row}{separator}{text}" for row, text in enumerate(lines[1:]))]
    elif random.random() < 0.15:
        lines.insert(1, line([random.choice(("[kg]", "[m/s]", "[°C]")) for _ in names]))
    above = f"sep={separator}\n" if random.random() < 0.15 and separator != "\t" else random.choice(ABOVE)
    text = above + "\n".join(lines) + "\n" + below
    return text.replace("\n", random.choice(("\n", "\r\n")))


def _packed(text: str, random: Random) -> tuple[str, bytes]:
    encoding = random.choice(ENCODINGS)
    try:
        content = text.encode(encoding)
    except UnicodeEncodeError:
        content = text.encode()
    return zipped("t.csv", content, random)


def zipped(name: str, content: bytes, random: Random) -> tuple[str, bytes]:
    """A file as it is, or in an archive; its name and content."""
    kind = random.choice(("", "", "", ".gz", ".zip"))
    if kind == ".gz":
        content = gzip.compress(content, 1)
    elif kind == ".zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(
            packed, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        ) as archive:
            archive.writestr(random.choice((name, f"a folder/{name}")), content)
            if random.random() < 0.3:
                archive.writestr(f"__MACOSX/._{name}", b"\0")
        content = packed.getvalue()
    return f"{name}{kind}", content


FLOATS = ("f2", "f4", "f8", ">f4", ">f8", "g")
WHOLE = ("i1", "i2", ">i2", "i4", ">i4", "i8", ">i8", "u1", "u2", ">u2", "u4", "u8")


@dataclass
class Arrays:
    """An archive, and x [N, *F] and y [N] as they are to be read; remarks that are to be made."""

    name: str
    content: bytes
    x: np.ndarray
    y: np.ndarray
    said: tuple[str, ...]


def arrays(seed: int) -> Arrays:
    """Arrays of any type, order of bytes and shape; targets as codes, words, truth values or one-hot."""
    random, draw = Random(seed), np.random.default_rng(seed)
    dtype = np.dtype(random.choice(FLOATS + WHOLE))
    shape = random.choice(((3,), (12, 14, 3), (12, 14, 1), (9, 8), (7, 2)))
    x = draw.integers(0, 100, (ROWS, *shape)).astype(np.float64)
    x[:, 0] += np.arange(ROWS).reshape(-1, *([1] * (x.ndim - 2))) % 27  # no two rows alike
    codes, said = np.arange(ROWS) % 4, []
    held = {"x": np.asarray(x.astype(dtype), order=random.choice("CF"))}
    lengths = draw.integers(1, 8, ROWS) if shape == (7, 2) else None
    if lengths is not None:
        held["lengths"] = lengths.astype(random.choice(WHOLE))
        x[np.arange(7) >= lengths[:, np.newaxis]] = np.nan
    elif x.ndim == 3:
        x = x[..., np.newaxis]
    if len(shape) == 3 and random.random() < 0.5:
        held["x"] = np.moveaxis(held["x"], -1, 1)
        said.append("channels first")
    kind, y = random.choice(("codes", "codes", "one-hot", "words", "bytes", "column")), codes
    if kind == "one-hot":
        held["y"] = np.eye(4, dtype=random.choice(("u1", "f4", ">i4", "?")))[codes]
        said.append("one-hot")
    elif kind == "words":
        held["y"] = y = np.array(["ä", "b", "c d", "e"])[codes]
    elif kind == "bytes":
        held["y"], y = np.array([b"a", b"b", b"c", b"d"])[codes], np.array(["a", "b", "c", "d"])[codes]
    else:
        held["y"] = codes.astype(random.choice(WHOLE + FLOATS))[
            :, *([np.newaxis] if kind == "column" else [])
        ]
    packed = io.BytesIO()
    random.choice((np.savez, np.savez_compressed))(packed, **held)
    name, content = zipped("a.npz", packed.getvalue(), random)
    return Arrays(name, content, x, y, tuple(said))


#: Types of numbers from 0 to 99, and of moments.
NUMBERS = (
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float16(), pa.float32(), pa.float64(), pa.decimal128(9, 2), pa.decimal256(40, 3)),
)
MOMENT_TYPES = (
    *(
        pa.timestamp("s"),
        pa.timestamp("ms"),
        pa.timestamp("us"),
        pa.timestamp("ns"),
        pa.date32(),
        pa.date64(),
    ),
    *(pa.timestamp("us", "Europe/Berlin"), pa.timestamp("ns", "UTC")),
)
#: Columns that are left out.
NESTED = (
    *(pa.array([[1, 2]] * ROWS), pa.array([{"a": 1}] * ROWS), pa.array([b"\x00\xff"] * ROWS)),
    *(
        pa.array(range(ROWS), pa.duration("s")),
        pa.array([[("a", 1)]] * ROWS, pa.map_(pa.string(), pa.int8())),
    ),
)


def frame(seed: int) -> Table:
    """A Parquet file of many types, in any compression, a column among them that is left out."""
    random, draw = Random(seed), np.random.default_rng(seed)
    numbers = draw.integers(0, 100, ROWS).astype(np.float64)
    blank = draw.random(ROWS) < random.choice((0.0, 0.1))
    moments = pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 10**6, ROWS), "s")
    stamp, kind = random.choice(MOMENT_TYPES), random.choice(NUMBERS)
    if pa.types.is_date(stamp):
        moments = moments.normalize()
    words = draw.choice(["ü", "v", "w, x"], ROWS)
    truth, zone = draw.random(ROWS) < 0.5, getattr(stamp, "tz", None)
    decimal, thousands, _ = random.choice(LOCALES)
    cents = np.array([round(random.uniform(-9_000, 90_000), 2) for _ in range(ROWS)])
    written = pa.array([number(each, 2, decimal, thousands) for each in cents])
    columns = {
        "k": pa.array(np.arange(ROWS)),
        "n": pa.array([None if no else Decimal(int(n)) for n, no in zip(numbers, blank, strict=True)]),
        "when": pa.array(moments.to_numpy().astype("datetime64[us]"), pa.timestamp("us", zone)).cast(stamp),
        "word": _encoded(pa.array(words), random),
        "truth": pa.array([None if no else bool(yes) for yes, no in zip(truth, blank, strict=True)]),
        "written": _encoded(written, random),
        "nothing": pa.nulls(ROWS),
        "nested": random.choice(NESTED),
        "y": pa.array(numbers * 2 + 0.5).cast(random.choice((pa.float32(), pa.float64()))),
    }
    half = pa.types.is_float16(kind)
    columns["n"] = columns["n"].cast(pa.decimal128(9, 2)).cast(pa.float32() if half else kind)
    columns["n"] = columns["n"].cast(kind)
    sink = io.BytesIO()
    pq.write_table(
        pa.table(columns),
        sink,
        compression=random.choice(("none", "snappy", "gzip", "zstd")),
        row_group_size=random.choice((7, ROWS)),
        data_page_version=random.choice(("1.0", "2.0")),
        use_dictionary=random.random() < 0.5,
    )
    name, content = zipped("p.parquet", sink.getvalue(), random)
    known = {
        "k": np.arange(ROWS, dtype=float),
        "n": np.where(blank, np.nan, numbers),
        "when": moments.to_numpy(),
        "word": words.astype(object),
        "truth": np.where(blank, np.nan, truth),
        "written": cents,
        "y": numbers * 2 + 0.5,
    }
    return Table(name, content, known)


def _encoded(text: pa.Array, random: Random) -> pa.Array:
    """Text of any type."""
    kind = random.choice((pa.string(), pa.large_string(), pa.string_view(), None))
    return text.dictionary_encode() if kind is None else text.cast(kind)
