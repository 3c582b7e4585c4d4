"""What the workflow calls as it goes; where it is drawn is decided by the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypedDict, Unpack


class Figures(TypedDict):
    """How far a search is."""

    done: int  # trials ended, whichever way
    pruned: int
    failed: int
    total: int
    best_value: float | None  # best validation score so far
    best_trial: int | None
    rung: int  # 1-based; 0 before the first
    epochs_done: int  # epochs that the lanes of this rung have behind them
    eta_seconds: float | None


class _Progress(Protocol):
    def __call__(self, **figures: Unpack[Figures]) -> None: ...


class Watch(NamedTuple):
    """What the workflow calls as it goes."""

    stage: Callable[[str], None]  # a part begins: "loading digits", "opening the test set"
    plan: Callable[[int, int], None]  # total trials, epochs of each
    progress: _Progress
    note: Callable[[str], None]  # a remark worth keeping


def silent() -> Watch:
    """Shows nothing: for the Python interface and for tests."""

    def progress(**figures: Unpack[Figures]) -> None: ...

    return Watch(lambda text: None, lambda total, epochs: None, progress, lambda text: None)
