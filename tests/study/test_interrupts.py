"""Ctrl-C: the first asks, the second stops at once, and one that Python would drop is not lost."""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
import time

import pytest

from workbench.study.interrupts import heard, insist, stop_requested


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_asks_and_the_second_stops(number: signal.Signals) -> None:
    told: list[str] = []

    def work() -> None:
        with stop_requested(told.append) as stopping:
            assert not stopping()
            signal.raise_signal(number)
            assert stopping()
            assert told == ["stopping after this rung; once more to stop at once"]
            signal.raise_signal(number)

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        work()
    assert signal.getsignal(number) is before


def test_one_that_falls_into_the_garbage_collector_is_not_lost() -> None:
    def strike(phase: str, info: dict[str, int]) -> None:
        del info
        if phase == "start" and threading.current_thread() is threading.main_thread():
            gc.callbacks.remove(strike)
            signal.raise_signal(signal.SIGINT)

    def work() -> None:
        with stop_requested(lambda text: None):
            signal.raise_signal(signal.SIGINT)
            gc.callbacks.append(strike)
            gc.collect()
            time.sleep(60)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        work()
    assert time.monotonic() - began < 30  # collecting takes seconds where others are at work


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_a_library_swallows_is_raised_again(number: signal.Signals) -> None:
    with heard():
        insist()
        with contextlib.suppress(BaseException):
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            insist()
    insist()  # what was reported is forgotten
