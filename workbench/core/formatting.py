"""How values are written in messages and files, and what a misspelled word was meant to be."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from workbench.core.types import Choice, Range


def duration(seconds: float | None) -> str:
    """`8 s`, `2 min 05 s`, `1 h 40 min`; a dash for None."""
    if seconds is None or seconds != seconds or seconds == float("inf"):
        return "–"
    whole = round(seconds)
    if whole < 10 and abs(seconds - whole) >= 0.05:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def nearest(word: str, known: Collection[str], cutoff: float = 0.6) -> str | None:
    """The known word that `word` most resembles, in whatever case, if any does by at least `cutoff` of 1."""
    lower = {one.lower(): one for one in reversed(list(known))}  # of equal ones the first
    close = difflib.get_close_matches(word.lower(), list(lower), n=1, cutoff=cutoff)
    return lower[close[0]] if close else None


def toml(value: Any) -> str:
    """A value as one would write it in TOML, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {toml(item)}' for key, item in value.items())} }}" if value else "{}"
    if isinstance(value, Choice):
        return toml({"choices": value.choices, **condition(value)})
    if isinstance(value, Range):
        extra = {"log": True} if value.log else {} if value.step is None else {"step": value.step}
        return toml({"low": value.low, "high": value.high, **extra, **condition(value)})
    if isinstance(value, float) and math.isfinite(value):
        return repr(int(value)) if value == int(value) and abs(value) < 1e6 else repr(value)
    return str(value)


def condition(axis: Range | Choice) -> dict[str, dict[str, Any]]:
    """`if` of an axis as a table of a study file holds it; nothing where it takes part in every trial."""
    said = {key: wanted[0] if len(wanted) == 1 else list(wanted) for key, wanted in axis.when}
    return {"if": said} if said else {}


def opened_before(rows: int, before: int, reused: int) -> list[str]:
    """How many test rows were opened before, and how many opened ones are no test rows now."""
    told = []
    if before:
        told.append(f"{before:,} of {rows:,} test rows were opened before")
    if reused:
        told.append(f"{reused:,} rows that were opened before are now among those trained or selected on")
    return told


def attempts(tried: Mapping[str, int]) -> str:
    """Such as `48 configurations in 2 studies, 2 seeds, 1 split, 1 metric`."""
    said = {name: f"{count:,} {name[:-1] if count == 1 else name}" for name, count in tried.items()}
    if tried.get("studies") == 1:
        said["studies"] = "1 study"
    beside = ", ".join(said[name] for name in ("seeds", "splits", "metrics"))
    return f"{said['configurations']} in {said['studies']}, {beside}"


def beaten(boosted: Mapping[str, Any], value: float, say: Callable[[float], str]) -> str:
    """That gradient boosting is better than the choice on the test rows; empty where it is not.

    Args:
        boosted: its entry among the baselines of a result, empty where there is none.
        value: the choice's score.
        say: writes a figure.
    """
    gain, low, high = (boosted.get(name) for name in ("gain", "low", "high"))
    if gain is None or gain >= 0:
        return ""
    told = f"gradient boosting is better on these rows: {say(boosted['value'])} against {say(value)}"
    told += f", gain of ours {say(gain)}"
    note = boosted.get("note", "")
    if low is None or high is None:
        return f"{told} (no interval: {note})" if note else told
    ends = f"interval {say(low)} to {say(high)}"
    if note:
        return f"{told} ({ends}: {note})"
    noise = "more than noise" if high < 0 else "no more than noise may do"
    return f"{told} (95 % {ends}): {noise}"
