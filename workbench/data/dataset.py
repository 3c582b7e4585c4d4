"""Development rows, ready to be looked at: what a study may see before its test set is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from workbench.core.types import Array, DataSpec, Task
from workbench.data import preprocessing
from workbench.data.preprocessing.tables import Column
from workbench.data.targets import known
from workbench.data.weights import effective, relative, uneven

#: So many targets a sentence names; of more, the first.
MOST_SAID = 8


def named_outputs(targets: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Names of so many outputs: their targets', or their numbers where these have one name together."""
    return targets if len(targets) == count else tuple(map(str, range(count)))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Made by `load`. It holds training and validation rows and no test row.

    rows                a table of `columns`, or an array [N, *F]
    target              int32 codes [N] into `classes`, or float32 [N, K]; of the steps of sequences [N, T]
                        or [N, T, K], with -1 or NaN where a step has none
    train, validation   positions in `rows`, sorted
    fingerprint         SHA-256 of rows, targets and split
    group, time         what the rows were divided by, [N] integers and [N] numbers, if they were
    overlap             what must be said of official test rows that are not new, see `overlap`
    weight              [N] float64, how much each row counts: see `weights`; None: all alike
    content             [N] uint64, a hash of what each row holds, if rows are divided by it; see `content`
    test_content        [M] uint64, the same of the test rows, if they were divided off
    """

    name: str
    spec: DataSpec
    task: Task
    targets: tuple[str, ...]  # the columns that are predicted; of an archive "y", or what it calls them
    columns: tuple[Column, ...]  # none for arrays
    rows: pd.DataFrame | Array
    target: Array
    classes: tuple[str, ...]  # none for regression
    train: Array
    validation: Array
    fingerprint: str
    notes: tuple[str, ...]  # sentences for the user
    test_rows: int = 0
    group: Array | None = None
    time: Array | None = None
    content: Array | None = None
    test_content: Array | None = None
    overlap: str = ""
    forms: tuple[str, ...] = ()  # how each target of numbers is written, see `numerals`
    weight: Array | None = None

    @property
    def target_name(self) -> str:
        """The targets in a sentence, the first of many."""
        said = self.targets[:MOST_SAID]
        more = len(self.targets) - len(said)
        return ", ".join(said) + (f" and {more} more" if more else "")

    @property
    def outputs(self) -> tuple[str, ...]:
        """What each of K numbers that are predicted is called; the target's name alone for classes."""
        return named_outputs(self.targets, 1 if self.task == "classification" else self.target.shape[-1])

    @cached_property
    def input_shape(self) -> tuple[int, ...]:
        """*F of one example as a model gets it, before polynomial features."""
        rows = self.pick(self.train)
        fitted = preprocessing.fit(rows, self.columns, "none", where=self.name)
        return fitted.transform(rows[:1]).shape[1:]

    @property
    def of_steps(self) -> bool:
        """Whether every step of a sequence has a target of its own."""
        return self.target.ndim == (2 if self.task == "classification" else 3)

    def pick(self, index: Array) -> pd.DataFrame | Array:
        """Raw rows at these positions."""
        return self.rows.iloc[index] if isinstance(self.rows, pd.DataFrame) else self.rows[index]

    def examples(self, n: int) -> pd.DataFrame | Array:
        """The first n raw training rows."""
        return self.pick(self.train[:n])

    def weights(self, index: Array) -> Array | None:
        """How much the rows at these positions count, about a mean of one; None where all count alike."""
        return None if self.weight is None or uneven(self.weight) is None else relative(self.weight[index])

    def _divided(self) -> str:
        """By what rule the split was made."""
        spec = self.spec
        if spec.time:
            return f"in the order of {spec.time}"
        groups = f", rows of one {spec.group} together" if spec.group else ""
        classes = " within each class" if self.task == "classification" and not self.of_steps else ""
        if spec.split_rule == "rows":
            return f"at random{classes}{groups}, seed {spec.seed}"
        return f"by a hash of each row{classes}{groups}, split_seed {spec.split_seed}"

    def _written(self) -> str:
        """How numbers were written, the target's first, where not plainly."""
        forms = dict(zip(self.targets, self.forms, strict=False)) | {
            column.name: column.form for column in self.columns if column.kind == "numeric"
        }
        told: dict[str, list[str]] = {}
        for name, form in forms.items():
            if form not in ("", "plain"):
                told.setdefault(form, []).append(name)
        return "; ".join(f"{', '.join(names)}: {form}" for form, names in told.items())

    def summary(self) -> Mapping[str, str | int | float]:
        """Figures for people: sizes, kinds of columns, blanks, and the target, of development rows."""
        sizes = {"train": len(self.train), "validation": len(self.validation), "test": self.test_rows}
        found: dict[str, str | int | float] = {
            "name": self.name,
            "task": self.task,
            "target": self.target_name,
            "rows": sum(sizes.values()),
            **sizes,
            "divided": self._divided(),
        }
        if self.spec.folds:
            found["validated on"] = f"{self.spec.folds} folds of the development rows"
        if self.spec.holdouts:
            found["validated on"] = f"{self.spec.holdouts} hold-outs of the development rows, in turn"
        if isinstance(self.rows, pd.DataFrame):
            found["columns"] = len(self.columns)
            written = self._written()
            found |= {"read as": written} if written else {}
            for kind in ("numeric", "boolean", "date", "category"):
                n = sum(column.kind == kind for column in self.columns)
                found |= {kind: n} if n else {}
            blanks = self.rows.isna().sum()
            found["blanks"] = int(blanks.sum())
            some = ", ".join(f"{name} {count}" for name, count in blanks[blanks > 0].items())
            found |= {"blank columns": some} if some else {}
        else:
            found["shape"] = " x ".join(map(str, self.rows.shape[1:]))
        if self.weight is not None:
            low, high = self.weight.min(), self.weight.max()
            worth = effective(self.weight[self.train])
            found["weighted by"] = (
                f"{self.spec.weight}, {low:.4g} to {high:.4g}; training rows tell as much as {worth:,.0f} "
                "that count alike"
            )
        targets = known(self.target)
        if self.of_steps:
            found["steps with a target"] = len(targets)
        if self.task == "classification":
            counts = np.bincount(targets, minlength=len(self.classes))
            shares = zip(self.classes, counts / counts.sum(), strict=True)
            found["classes"] = len(self.classes)
            found["balance"] = ", ".join(f"{name} {share:.1%}" for name, share in shares)
        elif self.task == "multilabel":
            each = zip(self.outputs, targets.mean(axis=0), strict=True)
            found["labels"] = ", ".join(f"{name} {share:.1%}" for name, share in each)
        else:
            for name, statistic in (
                ("mean", np.mean),
                ("deviation", np.std),
                ("low", np.min),
                ("high", np.max),
            ):
                values = np.atleast_1d(statistic(targets.astype(np.float64), axis=0))
                if len(values) == 1:
                    found[f"target {name}"] = float(values[0])
            if targets.shape[1] > 1:
                found["targets"] = targets.shape[1]
        if self.overlap:
            found["overlap"] = self.overlap
        found["fingerprint"] = self.fingerprint
        return found
