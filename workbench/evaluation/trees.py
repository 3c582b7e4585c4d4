"""Boosted trees as plain arrays: what is kept of scikit-learn's gradient boosting, and what it says of rows.

An ensemble of trees is a sum: of a constant and of one leaf of each tree. Saved beside a study it is
model.json and parameters.npz, as a delivered model is, and likewise holds no pickle and nothing that is code.
It answers with scikit-learn's own numbers, to the last bit.

Source: sklearn.ensemble.HistGradientBoostingClassifier; its trees are in `_predictors`, which is private, so
a test holds these arrays to its predictions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.core.errors import StoreError
from workbench.core.files import read_arrays, write_text
from workbench.core.types import Array

if TYPE_CHECKING:
    from workbench.data.preprocessing import Preprocessor

#: What the baseline is called in results, and its folder.
NAME = "boosted"
#: Rows that go down a tree together.
_CHUNK = 2**15
#: What scikit-learn calls the fields of a node, and what they are kept as.
_FIELDS = {
    "feature_idx": np.int32,
    "num_threshold": np.float64,
    "value": np.float64,
    "left": np.int32,
    "right": np.int32,
    "is_leaf": np.bool_,
    "missing_go_to_left": np.bool_,
    "is_categorical": np.bool_,
    "bitset_idx": np.int32,
}


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees with all their M nodes in a row; children are counted within a tree.

    nodes   by the names of `_FIELDS`, [M] each
    bits    [B, 8] uint32, which labels go left at a node, by its `bitset_idx`
    first   [T + 1] where the nodes of a tree begin
    sets    [T + 1] where the bits of a tree begin
    output  [T] to which output a tree adds
    base    [K] float64, the outputs before any tree
    """

    nodes: dict[str, Array]
    bits: Array
    first: Array
    sets: Array
    output: Array
    base: Array


@dataclass(frozen=True, eq=False)
class Boosted:
    """What was frozen: raw rows in, outputs as those of any model out."""

    preprocessor: Preprocessor
    trees: Trees
    about: str  # how it was found, in words

    def raw_estimates(self, rows: Any) -> Array:
        """Raw rows -> logits [N, K], or numbers [N, K] in the units of the data, float64.

        Of two classes there is one logit, for the second.
        """
        return outputs(self.trees, self.preprocessor.raw(rows))


def trees_of(fits: Sequence[tuple[Any, Sequence[int]]], base: Array, iterations: Sequence[int]) -> Trees:
    """The first trees of fitted estimators of scikit-learn.

    Args:
        fits: of each an estimator, and the outputs that its columns are.
        base: [K], the outputs that no estimator has; those of the others are put in.
        iterations: of each estimator, how many count.
    """
    base, grown = np.array(base, np.float64), []
    output: list[int] = []
    for (fit, columns), count in zip(fits, iterations, strict=True):
        base[list(columns)] = fit._baseline_prediction.reshape(-1)
        for step in fit._predictors[:count]:
            grown += step
            output += columns
    parts = [tree.nodes for tree in grown]
    bits = [tree.raw_left_cat_bitsets.reshape(-1, 8) for tree in grown]
    return Trees(
        nodes={
            name: np.concatenate([np.zeros(0, kind), *(part[name].astype(kind) for part in parts)])
            for name, kind in _FIELDS.items()
        },
        bits=np.concatenate([np.zeros((1, 8), np.uint32), *bits]),
        first=_starts(parts, 0),
        sets=_starts(bits, 1),  # a row of zeros stands first, for nodes without labels
        output=np.array(output, np.int32),
        base=base,
    )


def outputs(trees: Trees, x: Array) -> Array:
    """Rows x [N, C] float64, as `Preprocessor.raw` gives them -> [N, K] float64."""
    parts = [_added(trees, x[start : start + _CHUNK]) for start in range(0, len(x), _CHUNK)]
    return np.concatenate([np.zeros((0, len(trees.base))), *parts])


def _added(trees: Trees, x: Array) -> Array:
    out = np.tile(trees.base, (len(x), 1))
    for tree, column in enumerate(trees.output):
        out[:, column] += _leaves(trees, tree, x)
    return out


def _leaves(trees: Trees, tree: int, x: Array) -> Array:
    """The value of the leaf that each row comes to, [N]."""
    part = slice(trees.first[tree], trees.first[tree + 1])
    nodes = {name: values[part] for name, values in trees.nodes.items()}
    rows, at = np.arange(len(x)), np.zeros(len(x), np.int64)
    while len(rows):
        going = ~nodes["is_leaf"][at[rows]]
        rows = rows[going]
        node = at[rows]
        cell = x[rows, nodes["feature_idx"][node]]
        blank = np.isnan(cell)
        left = cell <= nodes["num_threshold"][node]
        labelled = nodes["is_categorical"][node] & ~blank
        if labelled.any():
            code = cell[labelled].astype(np.int64)
            words = trees.bits[trees.sets[tree] + nodes["bitset_idx"][node[labelled]], code >> 5]
            left[labelled] = (words >> (code & 31).astype(np.uint32)) & 1
        left[blank] = nodes["missing_go_to_left"][node[blank]]
        at[rows] = np.where(left, nodes["left"][node], nodes["right"][node])
    values: Array = nodes["value"][at]
    return values


def _starts(parts: Iterable[Array], start: int) -> Array:
    return np.cumsum([start, *(len(part) for part in parts)]).astype(np.int64)


def save(folder: Path, model: Boosted) -> Path:
    """Write the model into `folder`, the description last, as `saved_model.save` does."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").unlink(missing_ok=True)
    with (folder / "parameters.npz").open("wb") as file:
        np.savez(file, allow_pickle=False, **dict(_arrays(model.trees)))
    described = {"family": NAME, "about": model.about, "preprocessor": model.preprocessor.to_json()}
    write_text(folder / "model.json", json.dumps(described, indent=1))
    return folder


def _arrays(trees: Trees) -> Iterator[tuple[str, Array]]:
    yield from ((f"nodes/{name}", values) for name, values in trees.nodes.items())
    yield from ((name, getattr(trees, name)) for name in _REST)


_REST = ("bits", "first", "sets", "output", "base")


def load(folder: Path) -> Boosted:
    """Read what `save` wrote. Raises StoreError if the folder does not hold it."""
    from workbench.data.preprocessing import Preprocessor

    try:
        described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        arrays = read_arrays(folder / "parameters.npz", *_REST)
        if arrays is None or described["family"] != NAME:
            raise ValueError("it is no gradient boosting, or is damaged")
        nodes = {name: arrays[f"nodes/{name}"] for name in _FIELDS}
        rest = {name: arrays[name] for name in _REST}
        return Boosted(
            Preprocessor.from_json(described["preprocessor"]), Trees(nodes, **rest), described["about"]
        )
    except (KeyError, OSError, ValueError) as error:
        raise StoreError(f"{folder}: the model cannot be read ({error}); run the study again") from error
