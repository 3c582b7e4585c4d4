"""What earlier versions have left that this one takes up without doing it again: finished searches.

They asked for other trials on other machines, so the rest of a search cannot be replayed. A search that is
over needs no replaying: its journal holds every trial, and what the validation rows said of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from workbench.core.records import TrialRecord, decode_trial
from workbench.core.types import Array, decode_array


class Finished(NamedTuple):
    """What came of a search."""

    trials: Mapping[int, TrialRecord]
    blocks: Mapping[int, Array]  # as in `loop.Search`
    stopped: str  # why it ended before its budget


def finished(
    records: Sequence[Mapping[str, Any]],
    budget: int,
    *,
    may_stop: bool,
    suggest: Callable[[Sequence[TrialRecord], int], Sequence[object]],
) -> Finished | None:
    """The search in the journal of an earlier version, if nothing is left of it to be trained; else None.

    budget    trials that there may be
    may_stop  whether the study lets its search end before that
    suggest   as in `loop.Search`: a grid may have had no more cells
    """
    asked = sum(len(record["params"]) for record in records if record["kind"] == "ask")
    ended = [decode_trial(record) for record in records if record["kind"] == "trial"]
    reasons = [record["reason"] for record in records if record["kind"] == "stop" and may_stop]
    if not ended or len(ended) < asked:
        return None
    if asked < budget and not reasons and suggest(ended, 1):
        return None
    blocks = {
        int(number): decode_array(text)
        for record in records
        if record["kind"] == "launch"
        for number, text in record["blocks"].items()
    }
    return Finished({trial.number: trial for trial in ended}, blocks, (reasons or [""])[-1])
