"""Piecewise-linear encoding: against its authors' package and float64 formulas; and what always holds."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import workbench as wb
from workbench.core import vocabulary
from workbench.core.errors import DataError, StoreError
from workbench.core.types import Array, DataSpec
from workbench.data import Column, Preprocessor, load, prepare
from workbench.data.preprocessing import fit
from workbench.data.preprocessing.bins import LEAF, fit_bins
from workbench.data.preprocessing.features import Encoding
from workbench.evaluation import saved_model
from workbench.study import workflow

KINDS = [kind for kind in vocabulary.NUMBERS if kind != "plain"]


def mixed(n: int, seed: int = 0) -> Array:
    """Smooth, long-tailed, whole and mostly zero numbers."""
    rng = np.random.default_rng(seed)
    sparse = np.where(rng.random(n) < 0.9, 0.0, rng.normal(size=n))
    return np.stack([rng.normal(size=n), rng.lognormal(0, 2, n), rng.integers(0, 9, n), sparse], axis=1)


def formula(x: Array, edges: Array) -> Array:
    """[N, T], a bin at a time, as the paper writes it, with both ends closed."""
    return np.stack([np.interp(x, edges[t - 1 : t + 1], [0.0, 1.0]) for t in range(1, len(edges))], axis=1)


def target(x: Array, task: str) -> Array:
    y = np.sin(2 * x[:, 0]) + 0.3 * np.log1p(x[:, 1]) + (x[:, 2] > 4) + x[:, 3]
    return y[:, None] if task == "regression" else np.digitize(y, [0.0, 1.5]).astype(np.int32)


@pytest.mark.parametrize("most", [2, 7, 48])
def test_quantiles_are_numpys(most: int) -> None:
    x, new = mixed(3000), mixed(500, seed=1) * 2
    bins = fit_bins("piecewise", most, x, None)
    for ours, column in zip(bins.edges, x.T, strict=True):
        wanted = np.unique(np.quantile(column, np.linspace(0, 1, most + 1)))
        np.testing.assert_allclose(ours, wanted if len(wanted) > 2 else [], rtol=1e-12, atol=1e-15)
    each = [formula(column, edges) for column, edges in zip(new.T, bins.edges, strict=True) if len(edges)]
    np.testing.assert_allclose(bins.encoded(new), np.concatenate([new, *each], axis=1), rtol=1e-9, atol=1e-12)
    assert bins.encoded(new).shape[1] == bins.features == len(bins.names("abcd"))


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("most", [4, 32])
def test_trees_are_scikit_learns(most: int, task: str) -> None:
    x = mixed(4000)
    y = target(x, task)
    tree: Any = DecisionTreeRegressor if task == "regression" else DecisionTreeClassifier
    bins = fit_bins("piecewise_tree", most, x, y)
    for ours, column in zip(bins.edges, x.T, strict=True):
        leaves = tree(max_leaf_nodes=most, min_samples_leaf=LEAF, random_state=0).fit(column[:, None], y)
        asked = np.sort(column)
        at = np.flatnonzero(np.diff(leaves.apply(asked[:, None])))  # where the tree's answer changes
        inner = ours[1:-1]
        assert len(inner) == len(at) > 0
        assert ((asked[at] <= inner + 1e-6) & (inner - 1e-6 <= asked[at + 1])).all()
        assert (ours[0], ours[-1]) == (column.min(), column.max())


@pytest.mark.parametrize("kind", KINDS)
def test_the_authors_encode_alike(kind: str) -> None:
    theirs = pytest.importorskip("rtdl_num_embeddings")
    torch = pytest.importorskip("torch")
    x, new = mixed(4000)[:, :3].astype(np.float32), mixed(300, seed=1)[:, :3].astype(np.float32) * 1.5
    y = target(mixed(4000), "regression")
    tree = {"min_samples_leaf": LEAF, "random_state": 0}
    more = {"tree_kwargs": tree, "y": torch.as_tensor(y[:, 0]), "regression": True}
    found = theirs.compute_bins(torch.as_tensor(x), n_bins=16, **(more if kind == "piecewise_tree" else {}))
    bins = fit_bins(kind, 16, x.astype(np.float64), y)
    for ours, wanted in zip(bins.edges, found, strict=True):
        np.testing.assert_allclose(ours, wanted.numpy(), rtol=1e-5, atol=1e-6)
    wanted = theirs.PiecewiseLinearEncoding(found)(torch.as_tensor(new)).numpy().clip(0.0, 1.0)  # open ends
    encoded = bins.encoded(new.astype(np.float64))[:, 3:]
    np.testing.assert_allclose(encoded, wanted, rtol=2e-3, atol=2e-4)


values = st.lists(st.floats(-1e6, 1e6, width=32), min_size=20, max_size=80)


@settings(max_examples=80, deadline=None)
@given(values, st.sampled_from(KINDS), st.integers(2, 20), st.randoms(use_true_random=False))
def test_what_always_holds(numbers: list[float], kind: str, most: int, random: Any) -> None:
    column = np.array(numbers, np.float64)
    y = np.cumsum(np.sign(column))[:, None]
    bins = fit_bins(kind, most, column[:, None], y)
    (edges,) = bins.edges
    order = random.sample(range(len(column)), len(column))
    np.testing.assert_array_equal(fit_bins(kind, most, column[order, None], y[order]).edges[0], edges)
    x = np.sort(np.concatenate([column, np.linspace(-2e6, 2e6, 41)]))
    out = bins.encoded(x[:, None])
    assert (np.diff(out, axis=0) >= 0).all(), "monotone"
    np.testing.assert_array_equal(out[:, 0], x)
    out = out[:, 1:]
    if not len(edges):
        assert out.size == 0
        return
    assert 3 <= len(edges) <= most + 1
    assert (np.diff(edges) > 0).all()
    assert ((out >= 0) & (out <= 1)).all(), "bounded, however far a row lies"
    nearest = x.clip(edges[0], edges[-1])
    np.testing.assert_allclose(edges[0] + out @ np.diff(edges), nearest, rtol=1e-6, atol=1e-6 * np.ptp(x))


@pytest.mark.parametrize("kind", KINDS)
def test_lines_stay_as_they_are(kind: str) -> None:
    """Two values, one value, and what no quantile or tree divides."""
    n = 400
    rare = np.zeros(n)
    rare[:3] = [1.0, 2.0, 3.0]
    x = np.stack([np.arange(n) % 2, np.full(n, 7.0), rare], axis=1)
    y = (np.arange(n) % 2)[:, None].astype(float)
    bins = fit_bins(kind, 16, x, y)
    assert [len(edges) for edges in bins.edges] == [0, 0, 0]
    np.testing.assert_array_equal(bins.encoded(x), x)
    assert bins.names(["a", "b", "c"]) == ["a", "b", "c"]


@pytest.mark.parametrize("scale", vocabulary.SCALES)
@pytest.mark.parametrize("kind", KINDS)
def test_in_a_table(kind: str, scale: str) -> None:
    """After `scale`: blanks, truth values and labels are as they were, and JSON is exact."""
    x = mixed(600)
    x[::7, 0] = np.nan
    frame = pd.DataFrame(x, columns=list("abcd")).assign(t=np.arange(600) % 2, label=list("uvw") * 200)
    columns = (
        *(Column(name, "numeric", "plain") for name in "abcd"),
        Column("t", "boolean"),
        Column("label", "category"),
    )
    encoding = Encoding(kind, 12, target(np.nan_to_num(x), "regression"))
    plain, encoded = fit(frame, columns, scale), fit(frame, columns, scale, encoding=encoding)
    assert encoded.bins is not None
    out, before = encoded.transform(frame), plain.transform(frame)
    np.testing.assert_array_equal(out[:, -5:], before[:, -5:])
    wanted = encoded.bins.encoded(before[:, :4].astype(np.float64))
    np.testing.assert_allclose(out[:, :-5], wanted, rtol=1e-3, atol=1e-3)
    assert len(encoded.feature_names) == out.shape[1]
    assert len(set(encoded.feature_names)) == out.shape[1]
    assert encoded.feature_names[-5:] == plain.feature_names[-5:]
    again = Preprocessor.from_json(json.loads(json.dumps(encoded.to_json(), allow_nan=False)))
    np.testing.assert_array_equal(again.transform(frame), out)
    assert "bins" not in plain.to_json(), "a model without bins is written as it always was"
    if scale in ("standardize", "minmax", "none"):
        of_other = fit(frame, columns, "standardize", encoding=encoding).transform(frame)
        np.testing.assert_allclose(out[:, 4:-5], of_other[:, 4:-5], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", vocabulary.SCALES)
@pytest.mark.parametrize("kind", KINDS)
def test_extreme_numbers_stay_finite(kind: str, scale: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 3)) * 10.0 ** rng.integers(-300, 300, (90, 3))
    encoding = Encoding(kind, 8, rng.normal(size=(90, 1)))
    fitted = fit(x, scale=scale, encoding=encoding)
    assert np.isfinite(fitted.transform(np.concatenate([x, -x, x * 1e7]))).all()


def test_trees_see_the_target_as_it_is_trained_on_and_no_other_row() -> None:
    dataset, _ = load(DataSpec(source="diabetes"))
    kinds: dict[str, Any] = {"numbers": "piecewise_tree", "bins": 16}

    def edges(y: Array, transform: str = "none") -> list[list[float]]:
        fitted = prepare(replace(dataset, target=y), target_transform=transform, **kinds)[1]
        found: list[list[float]] = fitted.to_json()["bins"]
        return found

    before = edges(dataset.target)
    moved, taught = dataset.target.copy(), dataset.target.copy()
    moved[dataset.validation] += 1e4
    taught[dataset.train[::2]] *= 3
    assert edges(moved) == before
    assert edges(taught) != before
    assert edges(dataset.target * 5 + 1) == before
    assert edges(dataset.target, "log") != before


def test_what_is_refused() -> None:
    with pytest.raises(DataError, match=r'numbers = "piecewise" is for rows of numbers, not \(4, 4, 1\)'):
        fit(np.zeros((9, 4, 4, 1)), encoding=Encoding("piecewise", 4))
    wide = np.random.default_rng(0).random((300, 100))
    with pytest.raises(DataError, match=r"bins = 256 makes 25,700 features of 100 numbers, more than 20,000"):
        fit(wide, encoding=Encoding("piecewise", 256))


# ── in a study ──────────────────────────────────────────────────────────────────────────────────

STUDY = """\
name = "waves"
[data]
source  = "waves.csv"
target  = "y"
numbers = { choices = ["piecewise_tree", "plain", "piecewise"] }
bins    = { choices = [12, 5] }
[model]
width = 8
[optimizer]
learning_rate = 0.01
[training]
epochs = 40
[search]
trials  = 6
sampler = "grid"
seeds   = 1
[select]
rule = "single"
"""


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A number that only a bent line tells."""
    folder = tmp_path_factory.mktemp("waves")
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 12, (500, 2))
    table = pd.DataFrame(x, columns=["a", "b"])
    table["y"] = (np.sin(x[:, 0]) + 0.1 * rng.normal(size=500)).round(4)
    table.to_csv(folder / "waves.csv", index=False)
    (folder / "waves.toml").write_text(STUDY)
    return folder


def test_a_study_delivers_what_it_encodes(waves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, locations = wb.read_study(waves / "waves.toml"), wb.resolve(str(waves / "home"))
    planned = workflow.check(study, locations)
    assert planned["encoded"]["plain"] == 2
    assert planned["encoded"]["features"][-1] == 26
    assert {axis["name"]: axis["recompiles"] for axis in planned["axes"]} == {"numbers": True, "bins": True}
    result = wb.run(study, locations)
    assert result["best"]["params"]["numbers"] != "plain"
    assert result["test"]["value"] < 0.6 < result["baselines"]["linear"]["value"]
    chosen = result["best"]["params"]
    inputs = len(wb.load_model(locations.study(study.id) / "model").preprocessor.feature_names)
    assert result["encoded"] == {**chosen, "columns": 2, "inputs": inputs}
    folder = locations.study(study.id) / "model"
    model = wb.load_model(folder)
    rows = pd.DataFrame({"b": [1.0, 4.0, 99.0], "a": [3.0, None, -50.0]})
    here = model.predict(rows)["prediction"].to_numpy()
    rows.to_csv(waves / "new.csv", index=False)
    program = f"""
import sys
import pandas as pd, workbench as wb
told = wb.load_model({str(folder)!r}).predict(pd.read_csv({str(waves / "new.csv")!r}))["prediction"]
print(*(float(value).hex() for value in told), "sklearn" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*(float(value).hex() for value in here), "False"]
    exported = jax.export.deserialize(bytearray((folder / "program" / "model.stablehlo").read_bytes()))
    out = np.asarray(exported.call(saved_model.parameters(folder), model.preprocessor.transform(rows)))
    np.testing.assert_allclose(out[:, 0], here, rtol=1e-5)
    monkeypatch.setattr(saved_model, "FORMAT", 2)
    with pytest.raises(StoreError, match="format 3 is newer"):
        saved_model.load(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_encoded_numbers_are_not_embedded_again(kind: str) -> None:
    """An embedding takes the numbers of a row by their places, which bins have taken."""
    rows = mixed(200)
    target = rows[:, :1]
    assert fit(rows).n_numbers == 4
    assert fit(rows, encoding=Encoding(kind, 8, target)).n_numbers == 0
