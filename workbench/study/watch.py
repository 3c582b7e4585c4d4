"""What the workflow calls as it goes; `progress` draws it, and whoever calls decides whether."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypedDict, Unpack


class Figures(TypedDict):
    """How far a search is: a dictionary, as `on_rung` gets it.

    Args:
        done: Trials that have ended, whichever way.
        pruned: Of these, those that were behind.
        failed: Of these, those that diverged.
        total: The budget of trials.
        best_value: Best validation score so far.
        best_trial: Whose it is.
        rung: From 1; 0 before the first.
        epochs_done: Epochs that the trials of this rung have behind them.
        eta_seconds: What is left.
    """

    done: int
    pruned: int
    failed: int
    total: int
    best_value: float | None
    best_trial: int | None
    rung: int
    epochs_done: int
    eta_seconds: float | None


class _Progress(Protocol):
    def __call__(self, **figures: Unpack[Figures]) -> None: ...


class Watch(NamedTuple):
    """What the workflow calls as it goes."""

    stage: Callable[[str], None]  # a part begins: "loading digits", "opening the test set"
    plan: Callable[[int, int], None]  # total trials, epochs of each
    progress: _Progress
    note: Callable[[str], None]  # a remark worth keeping
    stop: Callable[[], bool] = lambda: False  # whether the search is to end after this rung


def silent() -> Watch:
    """Shows nothing: for the Python interface and for tests."""

    def progress(**figures: Unpack[Figures]) -> None: ...

    return Watch(lambda text: None, lambda total, epochs: None, progress, lambda text: None)
