"""Ctrl-C and SIGTERM, as requests.

While a search trains, once asks for a stop at the next safe point and twice stops at once; elsewhere once
stops at once. All of it leaves a study that can be resumed. A library may swallow the KeyboardInterrupt that
stops (Python itself does in callbacks of the garbage collector), so it is remembered and raised again.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_stop = threading.Event()  # a KeyboardInterrupt was raised, and nobody has reported it yet


@contextmanager
def heard() -> Iterator[None]:
    """Within, the first interrupt, SIGTERM included, raises KeyboardInterrupt; `insist` repeats it."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        _stop.set()
        raise KeyboardInterrupt

    with _handling(stop):
        try:
            yield
        finally:
            _stop.clear()


def insist() -> None:
    """Raise KeyboardInterrupt if one was raised before and did not arrive. For the seams between steps."""
    if _stop.is_set():
        raise KeyboardInterrupt


@contextmanager
def stop_requested(tell: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Within, the first interrupt only answers True from then on; the second raises KeyboardInterrupt.

    SIGTERM, which containers send, counts as an interrupt. Outside the main thread nothing is changed.
    """
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        tell("stopping after this rung; once more to stop at once")

    with _handling(ask):
        yield asked.is_set


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Both signals go to the handler, in the main thread; in others nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    hook, sys.unraisablehook = sys.unraisablehook, _again(sys.unraisablehook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, former in before.items():
            signal.signal(number, former)


def _again(hook: Callable[[Any], object]) -> Callable[[Any], None]:
    """Python drops an interrupt that falls into a callback of the garbage collector; this repeats it."""
    main = threading.main_thread().ident

    def unraisable(what: Any) -> None:
        if isinstance(what.exc_value, KeyboardInterrupt) and main is not None:
            if hasattr(signal, "pthread_kill"):
                threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT)).start()
            else:  # Windows; a wait that is under way ends by itself first
                threading.Timer(0.05, _thread.interrupt_main).start()
        else:
            hook(what)

    return unraisable
