"""Further looks that say no score: only whether the new choice beats the best recorded one beyond noise.

A score that is told can be fitted to, look by look; one bit that says "better than the best so far, by more
than noise" can hardly be (Blum and Hardt 2015, "The Ladder", arXiv:1502.04585; Bertran, Roth and Wu 2026,
arXiv:2606.11045).
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.core.vocabulary import METRICS
from workbench.storage.ledger.looks import Recorded

#: A sentence; it begins with "better" where the new choice won.
Verdict = str


def champion(records: Sequence[Recorded], metric: str) -> Recorded | None:
    """The best choice so far, by what was told of each, oldest first: a score, or that it beat the best."""
    sign = 1.0 if METRICS[metric].direction == "maximize" else -1.0
    best: Recorded | None = None
    value = float("-inf")
    for record in records:
        score = record.score
        if score.metric != metric:
            continue
        if score.verdict:
            best = record if score.verdict.startswith("better") else best
        elif sign * score.value > value:
            best, value = record, sign * score.value
    return best
