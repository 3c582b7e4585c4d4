"""Data sets by name: scikit-learn's, which ship with it and need no network, drawn ones, and OpenML's.

To add one, put a function that makes a `Source` into `BUILTIN`. What `generators` draws is drawn from one
fixed seed, so a name stands for the same rows for ever, and its test rows are under seal like any others; the
seed of a study decides how they are divided.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.core.errors import DataError
from workbench.core.formatting import toml
from workbench.core.types import Array, Task
from workbench.data.raw import Source, plain_table
from workbench.data.sources import generators

#: Steps of a drawn sequence are limited, so that a slip of the hand does not fill the memory.
MOST_STEPS = 1000
#: How the loader's remarks begin that are of no interest once the set is here.
_TRIED_AGAIN = ("A network error occurred", "Invalid cache", "Downloaded file could have")


def _digits() -> Source:
    """Read from scikit-learn's file without importing it, which takes a second."""
    library = find_spec("sklearn")
    assert library is not None
    assert library.origin is not None
    table = np.loadtxt(Path(library.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    return _bundled("digits", table[:, :-1], names, [str(int(code)) for code in table[:, -1]], "digit")


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


def _tickets() -> Source:
    return _drawn("tickets", generators.tickets(), ["distance"], "price")


def _purchases() -> Source:
    return _drawn("purchases", generators.purchases(), ["x"], "bought", ("no", "yes"))


def _xor() -> Source:
    return _drawn("xor", generators.xor(), ["x", "y"], "either", ("no", "yes"))


def _rings() -> Source:
    return _drawn("rings", generators.rings(), ["x", "y"], "ring", ("inner", "outer"))


def _spirals() -> Source:
    return _drawn("spirals", generators.spirals(), ["x", "y"], "arm", ("first", "second"))


def _sine() -> Source:
    return _drawn("sine", generators.sine(), ["x"], "y")


def _polynomial() -> Source:
    return _drawn("polynomial", generators.polynomial(), ["x"], "y")


def _bag_of_words() -> Source:
    names = [f"word_{j}" for j in range(1, generators.COMMON + generators.RARE + 1)]
    topics = tuple(f"topic_{code}" for code in range(1, generators.CLASSES + 1))
    return _drawn("bag_of_words", generators.bag_of_words(), names, "topic", topics)


def _adding(steps: int) -> Source:
    x, y = generators.adding(steps)
    return Source(f"adding-{steps}", x, y=y, target="y", task="regression", complete=True)


def _copy(delay: int) -> Source:
    x, y = generators.copy(delay)
    return Source(f"copy-{delay}", x, y=y, target="y", task="classification", complete=True)


def _drawn(
    name: str, drawn: tuple[Array, Array], names: list[str], target: str, classes: tuple[str, ...] = ()
) -> Source:
    x, y = drawn
    return _bundled(name, x, names, [classes[code] for code in y] if classes else y, target)


#: Built-in data sets by name; each is read without a network.
BUILTIN: dict[str, Callable[[], Source]] = {
    "digits": _digits,
    "breast_cancer": _breast_cancer,
    "wine": _wine,
    "diabetes": _diabetes,
    "iris": _iris,
    "xor": _xor,
    "rings": _rings,
    "spirals": _spirals,
    "sine": _sine,
    "polynomial": _polynomial,
    "bag_of_words": _bag_of_words,
    "adding-100": partial(_adding, 100),
    "copy-20": partial(_copy, 20),
    "tickets": _tickets,
    "purchases": _purchases,
}
#: Sets of sequences, by what stands before the number in their names; the least number, and what it counts.
_SEQUENCES: dict[str, tuple[Callable[[int], Source], int, str]] = {
    "adding": (_adding, 2, "steps"),
    "copy": (_copy, 0, "blank steps"),
}
#: Sets of too few rows to be divided; experiments train on all of them.
_TOO_FEW = {"tickets": "polynomial", "purchases": "xor"}


def built_in(name: str) -> Source | None:
    """The data set of this name, or None if there is none.

    Names such as `adding-50` and `copy-10` say how long sequences are. Raises DataError if they cannot be so
    long, or if the set is too small for a study.
    """
    if name in _TOO_FEW:
        n = len(BUILTIN[name]().rows)
        raise DataError(
            f"[data] source = {toml(name)} has {n} rows, which cannot be divided into train, validation and "
            f"test; it is for experiments, so take another set, such as {toml(_TOO_FEW[name])}"
        )
    if name in BUILTIN:
        return BUILTIN[name]()
    kind, _, number = name.partition("-")
    if kind not in _SEQUENCES or not (number.isascii() and number.isdigit()):
        return None
    make, least, noun = _SEQUENCES[kind]
    if not least <= int(number) <= MOST_STEPS:
        example = next(known for known in BUILTIN if known.startswith(kind))
        raise DataError(
            f"[data] source = {toml(name)} must have a number of {noun} from {least} to {MOST_STEPS}, "
            f"such as {toml(example)}"
        )
    return make(int(number))


def openml(source: str) -> Source:
    """What `openml:NAME` or `openml:NAME@VERSION` names. Raises DataError if it cannot be fetched.

    What the loader remarks of the set (several active versions, known problems) becomes a note.
    """
    from sklearn.datasets import fetch_openml

    name, _, version = source.removeprefix("openml:").partition("@")
    if not name or (version and not version.isdigit()):
        raise DataError(
            f"[data] source = {toml(source)} names no set; write openml:NAME or openml:NAME@VERSION"
        )
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            bunch = fetch_openml(name=name, version=int(version) if version else "active", as_frame=True)
    except (OSError, HTTPException, ValueError, LookupError) as error:  # LookupError: an answer lacks a part
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
    remarks = (" ".join(str(one.message).split()) for one in said)
    notes = tuple(remark for remark in remarks if not remark.startswith(_TRIED_AGAIN))
    target = targets[0] if len(targets) == 1 else None
    return Source(source, plain_table(table, source), target=target, notes=notes)
