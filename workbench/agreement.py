"""Whether an experiment that was run again agrees with its record, and whether the record agrees with itself.

On the processor and the versions of the record, Python's included, every seed's effect has to come out
again, up to TOLERANCE of the interval. Others round differently, which training magnifies until single seeds
differ; there the verdict has to be the same and the average of the effects to lie in the recorded interval.
Of effects that are times, only the verdict is compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from workbench.conclusions import verdict
from workbench.provenance import NUMERIC

__all__ = ["TOLERANCE", "compared", "consistent", "differences"]

#: Relative difference up to which two figures of the same arithmetic agree.
TOLERANCE = 1e-3


def consistent(record: Mapping[str, Any]) -> list[str]:
    """What in a record does not follow from its effects; empty if everything does."""
    try:
        found = verdict(record["effects"], unit=record["unit"], beyond=record["beyond"])
    except (TypeError, ValueError) as error:
        return [f"the record holds no effects to judge by: {error}"]
    said = []
    if found.conclusion != record["conclusion"]:
        said.append(f"the record says {record['conclusion']}, but its effects say {found.conclusion}")
    for name in ("effect", "low", "high"):
        was, follows = record[name], getattr(found, name)
        if not abs(was - follows) <= 1e-9 * max(abs(follows), 1e-3):
            said.append(f"the record says {name} {was:.6g}, but its effects give {follows:.6g}")
    return said


def compared(record: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    """What of the two has to agree: every seed, the averages, or the verdict alone."""
    if record.get("timed", False):
        return "verdict"
    same = _arithmetic(record["environment"]) == _arithmetic(again["environment"])
    return "seeds" if same else "averages"


def differences(record: Mapping[str, Any], again: Mapping[str, Any]) -> list[str]:
    """What of an experiment that was run again is not as recorded; empty if everything agrees."""
    found = consistent(record)
    if record["conclusion"] != again["conclusion"]:
        found.append(f"the verdict is {again['conclusion']} and was {record['conclusion']}")
    was, now = record["effects"], again["effects"]
    if len(was) != len(now):
        return [*found, f"there are {len(now)} seeds and were {len(was)}"]
    slack, what = TOLERANCE * max(abs(record["high"] - record["low"]), 1e-12), compared(record, again)
    if what == "seeds":
        return found + [
            f"the effect of seed {seed} is {b:.6g} and was {a:.6g}"
            for seed, (a, b) in enumerate(zip(was, now, strict=True))
            if not abs(a - b) <= max(slack, TOLERANCE * abs(a))
        ]
    if what == "averages" and not record["low"] - slack <= again["effect"] <= record["high"] + slack:
        interval = f"{record['low']:.6g} to {record['high']:.6g}"
        found.append(f"the average effect is {again['effect']:.6g}, outside the recorded interval {interval}")
    return found


def _arithmetic(environment: Mapping[str, str]) -> tuple[str, ...]:
    """What decides how numbers are rounded: the processor, and versions but the workbench's own."""
    processor = re.sub(r", \d+ cores;", ";", environment["hardware"])
    return (processor, environment["python"], *(environment[package] for package in NUMERIC[1:]))
