"""Which seconds are compiling and which are training."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workbench.training.programs import Programs, Span, alone

SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6)).map(lambda at: (at[0], at[0] + at[1])))


@given(SPANS, SPANS)
def test_alone_counts_the_seconds_that_one_covers_and_the_other_does_not(
    spans: list[Span], others: list[Span]
) -> None:
    def covered(some: list[Span], second: int) -> bool:
        return any(begin <= second < end for begin, end in some)

    expected = sum(covered(spans, second) and not covered(others, second) for second in range(40))
    assert alone(spans, others) == expected


def test_a_program_is_compiled_once_and_compiling_is_not_training() -> None:
    programs = Programs()
    function = jax.jit(
        lambda n, x: jax.lax.fori_loop(0, 200, lambda _, y: jnp.sin(y) + n, x), static_argnums=0
    )
    began = time.perf_counter()
    for value in (1.0, 2.0):
        programs.call("rows", function, (3,), (np.full(1000, value, np.float32),))
    wall = time.perf_counter() - began
    assert programs.count("rows") == 1
    assert programs.seconds["compile"] > 0.0
    assert programs.seconds["train"] > 0.0
    assert sum(programs.seconds.values()) <= wall
