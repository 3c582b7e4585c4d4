"""Ten thousand study files and data files that nobody would write: a plan, or one sentence and status 2.

Whatever a file holds, `workbench check` ends with 0 or 2, never with a traceback, names the file when it
refuses, and leaves nothing behind. The fast tier tries a few hundred.

Of files that are written in some locale, with titles, in archives or of any type, the values are known: what
is read equals what was written, and so does the same table in another file, if that is not refused.
"""

from __future__ import annotations

import io
import json
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.helpers import written_files
from tests.helpers.bad_input_cases import study_text
from workbench.cli.main import main
from workbench.study.config.schema import SETTINGS, keys_of

TOP = keys_of(())
KEYS = [("", key) for key in TOP] + [(section, key) for section in TOP for key in keys_of((section,))]
#: Values that are right, so that a file may be wrong elsewhere, or nowhere.
DEFAULTS = {where.path: where.default for where in SETTINGS.values()}
WORDS = [
    "adam",
    "relu",
    "tanh-relu",
    "mlp",
    "softmax",
    "cosine",
    "wine",
    "accuracy",
    "none",
    "auto",
    "",
    "é",
    "\x7f",
]

numbers = st.one_of(
    st.integers(-3, 200),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([1e-4, 0.1, 0.5, 1.0, 1e300, -1.0, 2**63, -(2**63)]),
)
plain = st.one_of(numbers, st.booleans(), st.sampled_from(WORDS), st.text(max_size=12))
axes = st.one_of(
    st.fixed_dictionaries(
        {"low": numbers, "high": numbers}, optional={"log": st.booleans() | plain, "step": numbers}
    ),
    st.fixed_dictionaries({"choices": st.lists(plain, max_size=4)}),
    st.dictionaries(
        st.sampled_from(["low", "high", "choices", "log", "patience", "train", "x y"]), plain, max_size=3
    ),
)
mild = st.sampled_from(
    [0.01, 0.3, 1, 2, 8, True, {"low": 0.01, "high": 0.2}, {"choices": [1, 2]}, *WORDS[:9]]
)
values = st.one_of(plain, axes, st.lists(plain, max_size=4), st.lists(axes, max_size=2))


#: How often something is wrong with the bytes: in two files of ten.
SELDOM = [0] * 8 + [1, 2]


@st.composite
def study_files(draw: st.DrawFn) -> bytes:
    """A study of wine with up to three keys set to anything, and at times bytes changed, cut or added."""
    tables: dict[str, dict[str, str]] = {"": {"name": '"fuzz"'}, "data": {"source": '"wine"'}}
    tables["training"] = {"epochs": "2"}
    tables["search"] = {"trials": "2"}
    random = Random(draw(st.integers(0, 2**32)))
    for _ in range(random.choice([1, 1, 2, 3])):
        section, key = random.choice(KEYS)
        if random.random() < 0.05:
            section, key = random.choice(WORDS), random.choice(WORDS)
        if (section, key) in {("data", "source"), ("search", "trials")}:
            continue  # a source is a matter of files, and many trials one of time
        value = draw(mild if random.random() < 0.6 else values)
        if random.random() < 0.4:
            value = DEFAULTS.get((section, key), value)
        tables.setdefault(section, {})[key] = toml(value)
    lines = []
    for section, keys in tables.items():
        lines += [f"[{section}]"] if section else []
        lines += [f"{key} = {value}" for key, value in keys.items() if key]
    text = bytearray("\n".join(lines).encode())
    for _ in range(random.choice(SELDOM)):
        where = draw(st.integers(0, len(text)))
        junk = draw(
            st.binary(max_size=4) | st.sampled_from([b"\n", b"[", b'"', b"=", b"#", b"\xff", b"{", b"'''"])
        )
        text[where : where + draw(st.integers(0, 6))] = junk
    return bytes(text)


CELLS = ["", " ", "0", "1", "-1", "1e9", "nan", "inf", "a", "b"]
CELLS += ["2024-01-02", "1,5", '"', "é", "\x00", "1e999", "True"]


@st.composite
def data_files(draw: st.DrawFn) -> bytes:
    """A table of numbers, with cells, separators, rows or bytes that are not as they should be."""
    random = Random(draw(st.integers(0, 2**32)))
    rows = random.choice([0, 1, 7, 30, 60, 60, 60, 60, 60, 60])
    odd = random.choice([0.0, 0.0, 0.01, 0.05, 0.5])
    columns = ["a", "b", "y"]
    if random.random() < 0.2:
        columns = random.choice(
            [["y"], ["a", "a", "y"], ["a", "", "y"], ["y", "é", "x" * 300], ["a", "y", "b"]]
        )
    classes = random.choice([1, 2, 3, 3, 3, 50])
    separator = random.choice(",,,,,;\t|")
    lines = [separator.join(columns)]
    for _ in range(rows):
        cells = [f"{random.gauss(0, 1):.3f}" for _ in columns[:-1]] + [str(random.randrange(classes))]
        cells = [random.choice(CELLS) if random.random() < odd else cell for cell in cells]
        if random.random() < odd / 4:
            cells = cells[:-1] if random.random() < 0.5 else [*cells, "1"]
        lines.append(separator.join(cells))
    text = bytearray(random.choice(["\n", "\r\n"]).join(lines).encode())
    for _ in range(random.choice(SELDOM)):
        where = draw(st.integers(0, len(text)))
        text[where : where + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    prefix = random.choice([b""] * 12 + [b"\xef\xbb\xbf", b"\xff\xfe", b"PK\x03\x04", b"PAR1"])
    return prefix + bytes(text)


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float) and value != value:
        return "nan"
    return json.dumps(value, ensure_ascii=False).replace("Infinity", "inf").replace("\x7f", "\\u007f")


def checked(file: Path) -> int:
    """`workbench check FILE`: its status, after what must hold of every refusal."""
    home, out, err = file.parent / "home", io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        status = main(["check", str(file), "--home", str(home)])
    said = err.getvalue()
    assert status in (0, 2), said
    assert "Traceback" not in said + out.getvalue()
    if status == 2:
        assert out.getvalue() == ""
        assert len(said.splitlines()) == 1
        assert str(file) in said
        assert len(said) < 1000
    assert not home.exists()
    return status


def cases(number: int) -> Any:
    """A tier's number of examples, the same ones every time."""
    return settings(
        max_examples=number,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


TIERS = [pytest.param(150, id="few"), pytest.param(5_000, id="thousands", marks=pytest.mark.slow)]


@pytest.mark.parametrize("number", TIERS)
def test_any_study_file(number: int, tmp_path: Path) -> None:
    file, told = tmp_path / "study.toml", []

    @cases(number)
    @given(study_files())
    def one(text: bytes) -> None:
        file.write_bytes(text)
        told.append(checked(file))

    one()
    assert 0.05 < sum(status == 0 for status in told) / len(told) < 0.95


@pytest.mark.parametrize("number", TIERS)
def test_any_data_file(number: int, tmp_path: Path) -> None:
    file, told = tmp_path / "study.toml", []
    base = study_text("data", "source = 'd.csv'").replace("epochs = 3", "epochs = 3\nbatch_size = 8")
    file.write_text(base.replace("[data]", "[data]\ntarget = 'y'").replace('metric = "accuracy"', ""))

    @cases(number)
    @given(data_files())
    def one(content: bytes) -> None:
        (tmp_path / "d.csv").write_bytes(content)
        told.append(checked(file))

    one()
    assert 0.05 < sum(status == 0 for status in told) / len(told) < 0.95
    assert {path.name for path in tmp_path.iterdir()} == {"d.csv", "study.toml"}


@pytest.mark.parametrize(
    "seeds",
    [pytest.param(range(40), id="few"), pytest.param(range(40, 1600), id="many", marks=pytest.mark.slow)],
)
def test_what_is_read_was_written(seeds: range, tmp_path: Path) -> None:
    """Text in some locale, Parquet and arrays; `python -m tests.helpers.written_files` tries 20,000."""
    kinds = {written_files.check(seed, tmp_path) for seed in seeds}
    assert kinds == {"text", "Parquet", "arrays"}
