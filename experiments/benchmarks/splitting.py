"""`splitting`: a million rows of twelve columns are divided by what they hold.

As they come from a CSV file (numbers as text, labels, an identifier) and from a Parquet file (numbers), and
images. The clock covers the hash of the rows, their order and the cuts within each class; reading does not
count.

Goal: under a second for each.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from experiments.benchmarks.common import machine, options, say, spread, write
from workbench.core.types import Array, Split
from workbench.data import content
from workbench.data.splits import split_rows

__all__ = ["main"]

GOAL = 1.0


def main() -> None:
    """Measure, print, write."""
    chosen = options(__doc__, rows=(1_000_000, "rows of the tables"), images=(60_000, "images of 28 x 28"))
    before = machine()
    draw = np.random.default_rng(0)
    n = chosen.rows
    codes = draw.integers(0, 2, n)
    numbers = {f"x{j}": pa.array(draw.normal(size=n)) for j in range(11)}
    labels = [pa.array(draw.choice(["Bonn", "Oslo", "Rome"], n)) for _ in range(4)]
    target = pa.array(np.array(["no", "yes"])[codes])
    texts = {name: column.cast(pa.string()) for name, column in list(numbers.items())[:6]}
    mixed = texts | {f"l{j}": column for j, column in enumerate(labels)}
    mixed["id"] = pa.array([f"row {i}" for i in range(n)])
    pixels = draw.integers(0, 256, (chosen.images, 28, 28, 1)).astype(np.uint8)
    digits = draw.integers(0, 10, chosen.images)
    cases: dict[str, tuple[Callable[[], Array], Array]] = {
        "numbers": (lambda: content.of_rows(pa.table({**numbers, "y": target})), codes),
        "text": (lambda: content.of_rows(pa.table({**mixed, "y": target})), codes),
        "images": (lambda: content.of_rows(pixels, digits), digits),
    }
    results = {}
    for name, (hashed, classes) in cases.items():
        seconds = []
        for _ in range(chosen.repeats):
            began = time.perf_counter()
            split_rows(classes, len(classes), Split(), 0, True, content=hashed())
            seconds.append(time.perf_counter() - began)
        found = spread(seconds)
        results[name] = {"rows": len(classes), "seconds": found, "met": found["median"] <= GOAL}
        say(f"  {name}: {found['median']:.2f} s", f"{GOAL:.0f} s", met=results[name]["met"])
    write("splitting", results, before, chosen.results)


if __name__ == "__main__":
    main()
