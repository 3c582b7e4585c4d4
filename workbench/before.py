"""What was done to test rows before, in words."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["attempts", "opened_before"]


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
