"""Compiled programs: each is compiled once, ahead of time, on a thread of its own where it can be foreseen.

A program is known by its function, its static arguments and the shapes of the others, so their number and
their cost are known and not guessed. Compiling leaves most of a machine idle; several at once, and while
others already train, do not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from workbench.core.cores import cores

#: LLVM's levels on a CPU. What trains is as fast at level 1 as at 3, and compiles in four fifths of the time;
#: what runs once for each trial had better compile fast.
OPTIMIZATION = {"start": 0, "advance": 1, "rows": 1, "outputs": 1}

#: From when to when, in seconds of one clock.
Span = tuple[float, float]


class Programs:
    """The programs that were compiled, and the seconds that went by with compiling and with running them.

    Any number of threads may call them at the same time.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(cores(), "compile")
        self._lock = threading.Lock()
        self._known: dict[tuple[Any, ...], Future[Any]] = {}
        self._compiled: list[Span] = []
        self._ran: list[Span] = []

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds in which programs ran, `train`, and in which they were only compiled."""
        return {"compile": alone(self._compiled, self._ran), "train": alone(self._ran, ())}

    def count(self, kind: str) -> int:
        """How many programs of this kind there are."""
        return sum(known[0] == kind for known in self._known)

    def foresee(
        self, kind: str, function: Any, static: tuple[Any, ...], dynamic: tuple[Any, ...]
    ) -> Future[Any]:
        """Begin to compile a jitted function for such arguments, arrays or their shapes, and do not wait."""
        known = _key(kind, static, dynamic)
        with self._lock:
            if known not in self._known:
                self._known[known] = self._threads.submit(self._compile, kind, function, static, dynamic)
            return self._known[known]

    def call(self, kind: str, function: Any, static: tuple[Any, ...], dynamic: tuple[Any, ...]) -> Any:
        """Compile for these shapes if that has not happened, then run to the end."""
        program = self.foresee(kind, function, static, dynamic).result()
        began = time.perf_counter()
        result = jax.block_until_ready(program(*dynamic))
        self._ran.append((began, time.perf_counter()))
        return result

    def _compile(self, kind: str, function: Any, static: tuple[Any, ...], dynamic: tuple[Any, ...]) -> Any:
        began = time.perf_counter()
        # A lane is one core's work: what it comes to does not depend on how many there are.
        options = {
            "xla_backend_optimization_level": str(OPTIMIZATION[kind]),
            "xla_cpu_multi_thread_eigen": False,
        }
        lowered = function.lower(*static, *dynamic)
        program = lowered.compile(compiler_options=options if jax.default_backend() == "cpu" else None)
        self._compiled.append((began, time.perf_counter()))
        return program


def alone(spans: Iterable[Span], others: Iterable[Span]) -> float:
    """Seconds covered by any of the spans and by none of the others.

    >>> alone([(0, 5), (3, 6), (9, 10)], [(1, 2), (5, 9.5)])
    4.5
    """
    steps = [(at, change, 0) for span in spans for at, change in zip(span, (1, -1), strict=True)]
    steps += [(at, 0, change) for span in others for at, change in zip(span, (1, -1), strict=True)]
    total, before, ours, theirs = 0.0, 0.0, 0, 0
    for at, our_change, their_change in sorted(steps):
        if ours and not theirs:
            total += at - before
        before, ours, theirs = at, ours + our_change, theirs + their_change
    return total


def _key(kind: str, static: tuple[Any, ...], dynamic: tuple[Any, ...]) -> tuple[Any, ...]:
    shapes = tuple((np.shape(leaf), jnp.result_type(leaf)) for leaf in jax.tree.leaves(dynamic))
    return (kind, static, jax.tree.structure(dynamic), shapes)
