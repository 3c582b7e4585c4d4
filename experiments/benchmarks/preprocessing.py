"""`preprocessing`: the package's transformers against scikit-learn's own on the same rows.

Twelve columns like those of the Adult census: six of numbers (two with blanks), six of labels (three with
blanks, one with rare ones). Each contender runs in a process of its own, which loads the rows, warms up on a
few of them, fits and transforms. Seconds are wall and processor seconds of fit and transform; memory is what
the process took at its peak beyond the rows. Both write float32, since that is what a model receives.

    ours     workbench.data.preprocessing
    plain    scikit-learn as its users write it: the whole matrix at once
    blocks   scikit-learn as lean as it can be: a block of rows at a time, `partial_fit` where there is one,
             codes for text

What a process pays for importing scikit-learn is measured beside it: a study waits for it before its first
trial, and a prediction of one row before anything else. `agreement` says how far the features of each
contender are from ours, columns in any order.

Goal: with the import, scikit-learn takes more than 1.2 times the time or the memory of each of ours; where
that holds only because of the import, `as_good` names who is as good without.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmarks.common import home, machine, options, python, say, spread, write
from workbench.core.types import Array

CASES = ("impute", "standardize", "minmax", "quantile", "monomials", "labels", "table")
CONTENDERS = ("ours", "plain", "blocks")
#: scikit-learn is as good within this.
GOAL = 1.2
#: Labels of each column of text, the shares of which fall as 1, 1/2, 1/4 ... with a long tail for the last.
LABELS, LONG_TAIL = (9, 16, 7, 15, 6, 42), 42
#: Of numbers and of labels, the share of blanks by column.
BLANK_NUMBERS, BLANK_LABELS = (0.0, 0.02, 0.0, 0.0, 0.0, 0.05), (0.06, 0.0, 0.0, 0.06, 0.0, 0.02)
#: Numbers in one block, as in workbench.data.preprocessing.
BLOCK = 2**21
MEGABYTE = 1e6
#: Seconds and megabytes below this are taken for this in a ratio: few rows may take no new memory at all.
LEAST = 1e-3


class Rows(NamedTuple):
    """What is prepared, as it is after a table has been read."""

    numbers: Array  # [N, 6] float64, NaN where blank
    filled: Array  # [N, 6] float64, blanks filled with zero: for what follows an imputer
    codes: Array  # [N, 6] int16, -1 where blank

    def head(self, n: int) -> Rows:
        """The first n."""
        return Rows(*(array[:n] for array in self))


class Contender(NamedTuple):
    """Made of rows, outside the clock."""

    fit: Callable[[], Any]
    transform: Callable[[Any], Array]  # of what `fit` gave; [N, features] float32


def main() -> None:
    """Measure, print, write."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_CHILDREN[sys.argv[2]](*sys.argv[3:])))
        return
    chosen = options(
        __doc__,
        rows=("100000,1000000", "rows of the tables, with commas between"),
        only=("", "transformers, with commas between; all of them"),
    )
    before = machine()
    names = chosen.only.split(",") if chosen.only else CASES
    sizes = [int(rows) for rows in chosen.rows.split(",")]
    with home() as folder:
        imports = [python("preprocessing", "--child", "import").output for _ in range(chosen.repeats)]
        results: dict[str, Any] = {
            "import": {key: spread([run[key] for run in imports]) for key in imports[0]},
            "rows": {},
        }
        importing = {key: results["import"][key]["median"] for key in imports[0]}
        say(f"  importing scikit-learn: {importing['processor']:.2f} s, {importing['memory']:.0f} MB")
        for rows in sizes:
            at = folder / str(rows)
            python("preprocessing", "--child", "rows", at, str(rows))
            results["rows"][str(rows)] = {
                name: _measured(name, at, importing, chosen.repeats) for name in names
            }
    write("preprocessing", results, before, chosen.results)


def _measured(name: str, at: Path, importing: dict[str, float], repeats: int) -> dict[str, Any]:
    """One transformer on the rows of one folder."""
    runs: dict[str, list[dict[str, float]]] = {contender: [] for contender in CONTENDERS}
    for _ in range(repeats):  # in turn, as drift of the machine falls on all
        for contender, found in runs.items():
            found.append(python("preprocessing", "--child", "contender", name, contender, at).output)
    figures: dict[str, Any] = {
        contender: {key: spread([run[key] for run in found]) for key in found[0]}
        for contender, found in runs.items()
    }
    ours, as_good, met = figures["ours"], [], True
    for contender, found in figures.items():
        if contender == "ours":
            continue
        for key in ("processor", "memory"):
            figure, of_ours = found[key]["median"], max(ours[key]["median"], LEAST)
            found[f"{key}_ratio"] = figure / of_ours
            found[f"{key}_ratio_imported"] = (figure + importing[key]) / of_ours
        if max(found["processor_ratio"], found["memory_ratio"]) <= GOAL:
            as_good.append(contender)
        met &= max(found["processor_ratio_imported"], found["memory_ratio_imported"]) > GOAL
    told = "; ".join(
        f"{contender} {f['processor']['median']:.2f} s, {f['memory']['median']:.0f} MB"
        for contender, f in figures.items()
    )
    told += f"; as good without the import: {', '.join(as_good) or 'none'}"
    say(f"  {name}, {at.name} rows: {told}", f"ours {GOAL:g} times as good with it", met=met)
    agreement = python("preprocessing", "--child", "agreement", name, at).output
    return {"contenders": figures, "agreement": agreement, "as_good": as_good, "met": met}


# ── what runs in a process of its own ───────────────────────────────────────────────────────────


def _import() -> dict[str, float]:
    """What scikit-learn costs a process that prepares rows already."""
    import workbench.data.preprocessing  # noqa: F401

    memory, wall, processor = _peak(), time.perf_counter(), time.process_time()
    import sklearn.compose
    import sklearn.impute
    import sklearn.preprocessing  # noqa: F401

    return {
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "memory": _peak() - memory,
    }


def _draw(folder: str, rows: str) -> None:
    """Write rows to a folder."""
    rng, n = np.random.default_rng(0), int(rows)
    numbers = np.stack(
        [
            rng.integers(17, 91, n),  # age
            np.round(np.exp(rng.normal(12.0, 0.5, n))),  # weight
            rng.integers(1, 17, n),  # years
            np.where(rng.random(n) < 0.92, 0.0, np.round(np.exp(rng.normal(8.0, 1.3, n)))),  # gain
            np.where(rng.random(n) < 0.95, 0.0, np.round(rng.normal(1900.0, 300.0, n))),  # loss
            np.clip(np.round(rng.normal(40.0, 12.0, n)), 1.0, 99.0),  # hours
        ],
        axis=1,
    )
    numbers[rng.random(numbers.shape) < BLANK_NUMBERS] = np.nan
    codes = np.empty((n, len(LABELS)), np.int16)
    for j, count in enumerate(LABELS):
        shares = 1.0 / np.arange(1, count + 1) ** (4.0 if count == LONG_TAIL else 1.0)
        codes[:, j] = rng.choice(count, n, p=shares / shares.sum())
    codes[rng.random(codes.shape) < BLANK_LABELS] = -1
    Path(folder).mkdir(parents=True)
    for name, array in Rows(numbers, np.nan_to_num(numbers), codes)._asdict().items():
        np.save(Path(folder) / f"{name}.npy", array)


def _contender(name: str, contender: str, folder: str) -> dict[str, float]:
    """Seconds of fit and transform, and megabytes beyond the rows."""
    rows = _load(folder)
    warm = _made(name, contender, rows.head(1000))
    warm.transform(warm.fit())
    ready = _made(name, contender, rows)
    memory, wall, processor = _peak(), time.perf_counter(), time.process_time()
    fitted = ready.fit()
    between = time.process_time()
    ready.transform(fitted)
    ended = time.process_time()
    return {
        "wall": time.perf_counter() - wall,
        "processor": ended - processor,
        "fit": between - processor,
        "transform": ended - between,
        "memory": _peak() - memory,
    }


def _agreement(name: str, folder: str) -> dict[str, Any]:
    """How the features of the others differ from ours, on at most 100,000 rows."""
    rows = _load(folder).head(100_000)
    features = {}
    for contender in CONTENDERS:
        made = _made(name, contender, rows)
        out = made.transform(made.fit())
        features[contender] = out[:, np.lexsort(out)]
    ours = features.pop("ours")
    return {
        contender: {
            "largest": float(np.abs(out.astype(np.float64) - ours).max()),
            "same": float((out == ours).mean()),  # share of all numbers
        }
        for contender, out in features.items()
    }


def _load(folder: str) -> Rows:
    return Rows(*(np.load(Path(folder) / f"{name}.npy") for name in Rows._fields))


def _peak() -> float:
    """The most memory that this process has held, in megabytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE


_CHILDREN: dict[str, Callable[..., Any]] = {
    "import": _import,
    "rows": _draw,
    "contender": _contender,
    "agreement": _agreement,
}


# ── contenders ──────────────────────────────────────────────────────────────────────────────────


def _made(name: str, contender: str, rows: Rows) -> Contender:
    if contender == "ours":
        return _ours(name, rows)
    transformer, x = _peer(name, rows, codes=contender == "blocks")
    if contender == "plain":
        return Contender(
            lambda: transformer.fit(x), lambda fitted: fitted.transform(x).astype(np.float32, copy=False)
        )

    def fit() -> Any:
        if not hasattr(transformer, "partial_fit"):
            return transformer.fit(x)
        for part in _parts(x):
            transformer.partial_fit(x[part])
        return transformer

    return Contender(fit, lambda fitted: _written(fitted.transform, x, len(fitted.get_feature_names_out())))


def _peer(name: str, rows: Rows, *, codes: bool) -> tuple[Any, Any]:
    """scikit-learn's transformer, and what it is given."""
    from sklearn import preprocessing as peer
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.pipeline import make_pipeline

    encoder = peer.OneHotEncoder(
        min_frequency=10,
        max_categories=200,
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
        dtype=np.float32,
    )
    if name == "labels":
        return encoder, rows.codes if codes else _labels(rows).astype(object)
    if name == "table":
        frame = _table(rows)
        numbers, labels = ([column for column in frame if column[0] == kind] for kind in "nl")
        scaled = make_pipeline(SimpleImputer(strategy="median"), peer.StandardScaler())
        parts = [("n", scaled, numbers), ("b", MissingIndicator(), numbers), ("l", encoder, labels)]
        return ColumnTransformer(parts), frame
    if name == "impute":
        return SimpleImputer(strategy="median", add_indicator=True), rows.numbers
    scalers = {
        "standardize": peer.StandardScaler(),
        "minmax": peer.MinMaxScaler(),
        "quantile": peer.QuantileTransformer(n_quantiles=1000, output_distribution="normal", subsample=None),
        "monomials": peer.PolynomialFeatures(2, include_bias=False),
    }
    return scalers[name], rows.filled


def _ours(name: str, rows: Rows) -> Contender:
    from workbench.data.preprocessing import fit
    from workbench.data.preprocessing.scaling import fit_scaling, scaled
    from workbench.data.preprocessing.tables import Column

    if name == "labels":
        return _our_labels(rows)
    if name == "monomials":
        return _our_monomials(rows)
    if name == "table":
        frame = _table(rows)
        columns = [Column(column, "numeric" if column[0] == "n" else "category") for column in frame]
        return Contender(lambda: fit(frame, columns), lambda fitted: fitted.transform(frame))
    if name == "impute":
        x = rows.numbers
        return Contender(lambda: fit(x, scale="none"), lambda fitted: fitted.transform(x))
    x = rows.filled
    n = x.shape[1]

    def sample(count: int) -> Array:
        return x[np.linspace(0, len(x) - 1, min(count, len(x))).astype(np.int64)]

    return Contender(
        lambda: fit_scaling(name, n, lambda: (x[part] for part in _parts(x)), sample),
        lambda fitted: _written(lambda block: scaled(fitted, block), x, n),
    )


def _our_monomials(rows: Rows) -> Contender:
    from workbench.data.preprocessing import features
    from workbench.data.preprocessing.scaling import Scaling

    vectors = list(rows.filled.T)
    n = len(vectors)

    def transform(terms: list[tuple[int, ...]]) -> Array:
        out = np.empty((len(rows.filled), len(terms)), np.float32)
        unscaled = Scaling("none", np.zeros(len(terms)), np.ones(len(terms)), np.zeros((0, len(terms))))
        features.transform_numbers(vectors, np.zeros(n), terms, n, unscaled, None, out)
        return out

    return Contender(lambda: features.monomials(n, 2, "rows"), transform)


def _our_labels(rows: Rows) -> Contender:
    from workbench.data.preprocessing.features import fit_levels, level_names, one_hot

    frame = _labels(rows)

    def transform(fitted: Any) -> Array:
        widths = [len(level_names("", levels)) for levels in fitted]
        out, place = np.zeros((len(frame), sum(widths)), np.float32), 0
        for name, levels, width in zip(frame, fitted, widths, strict=True):
            one_hot(frame[name], levels, out[:, place : place + width])
            place += width
        return out

    return Contender(lambda: [fit_levels(frame[name]) for name in frame], transform)


def _written(transform: Callable[[Any], Any], x: Any, width: int) -> Array:
    """[N, width] float32, transformed a block at a time."""
    out = np.empty((len(x), width), np.float32)
    for part in _parts(x, width):
        out[part] = transform(x[part])
    return out


def _parts(x: Any, width: int = 1) -> Iterator[slice]:
    step = BLOCK // max(x.shape[1], width)
    return (slice(start, start + step) for start in range(0, len(x), step))


def _labels(rows: Rows) -> Any:
    """Columns of pandas categories, as they are after a table has been read."""
    import pandas as pd

    names = [[f"label {code:02d}" for code in range(count)] for count in LABELS]
    return pd.DataFrame(
        {f"l{j}": pd.Categorical.from_codes(rows.codes[:, j], known) for j, known in enumerate(names)}
    )


def _table(rows: Rows) -> Any:
    import pandas as pd

    numbers = pd.DataFrame(rows.numbers, columns=[f"n{j}" for j in range(rows.numbers.shape[1])])
    return pd.concat([numbers, _labels(rows)], axis=1)


if __name__ == "__main__":
    main()
