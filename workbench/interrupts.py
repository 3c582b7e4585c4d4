"""Ctrl-C and SIGTERM, as requests.

Once asks for a stop at the next safe point, twice stops at once. Both leave a study that can be resumed.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["stop_requested"]


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

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    hook, sys.unraisablehook = sys.unraisablehook, _again(sys.unraisablehook)
    try:
        yield asked.is_set
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _again(hook: Callable[[Any], object]) -> Callable[[Any], None]:
    """Python drops an interrupt that falls into a callback of the garbage collector; this repeats it."""
    main = threading.main_thread().ident

    def unraisable(what: Any) -> None:
        if isinstance(what.exc_value, KeyboardInterrupt) and main is not None:
            threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT)).start()
        else:
            hook(what)

    return unraisable
