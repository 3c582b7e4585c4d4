"""Whether the metric has a value wherever a study asks for it: on validation rows, and on test rows.

It is found out before anything is trained and before the seal is broken, from targets alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from workbench.core.errors import DataError
from workbench.core.formatting import toml
from workbench.data import Dataset, SealedTest, divisions
from workbench.data.defined import undefined


def check_defined(metric: str, dataset: Dataset, sealed: SealedTest) -> None:
    """Raises DataError if the metric is undefined on rows that it would be asked of."""
    for rows, without in _parts(dataset, sealed):
        if metric in without:
            by = next((key for key in ("time", "group") if getattr(dataset.spec, key)), None)
            other = f"divide by another [data] {by}" if by else "set more rows aside"
            raise DataError(
                f"{dataset.name}: [select] metric = {toml(metric)} has no value on its {rows}, "
                f"since {without[metric]}; take another metric, or {other}"
            )


def _parts(dataset: Dataset, sealed: SealedTest) -> Iterator[tuple[str, Mapping[str, str]]]:
    """What is scored, in words, and the metrics that have no value on it."""
    for name, part in [("validation rows", dataset), *_others(dataset)]:
        yield name, undefined(part.target[part.validation], part.classes)
    yield "test rows", sealed.undefined


def _others(dataset: Dataset) -> list[tuple[str, Dataset]]:
    kind, parts = "fold" if dataset.spec.folds else "hold-out", divisions(dataset)
    return [
        (f"validation rows of {kind} {number} of {len(parts)}", part) for number, part in enumerate(parts, 1)
    ]
