"""What panels and tables of results are made of."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from workbench.streams import until_closed

__all__ = ["bullets", "figure", "framed", "interval", "new_grid", "new_table", "printing", "stated"]

_WIDTH_WITHOUT_TERMINAL = 110


def stated(score: Mapping[str, Any]) -> str:
    """Such as `95 % interval 0.97 to 0.99`; or what must be said beside it, or why there is none."""
    note = score.get("note")
    if score.get("low") is None or score.get("high") is None:
        return f"no interval: {note}" if note else "no interval"
    return f"interval {interval(score)}: {note}" if note else f"95 % interval {interval(score)}"


def interval(score: Mapping[str, Any]) -> str:
    """Such as `0.97 to 0.99`."""
    low, high = score.get("low"), score.get("high")
    return "–" if low is None or high is None else f"{figure(low)} to {figure(high)}"


def figure(value: Any) -> str:
    """Four digits for a number, a dash for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:,.1f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return ", ".join(map(figure, value)) if isinstance(value, (list, tuple)) else str(value)


def bullets(console: Console, title: str, lines: Iterable[Any]) -> None:
    """A titled list; nothing if it is empty."""
    shown: list[RenderableType] = []
    for line in lines:
        bullet = new_grid(width=1)
        bullet.add_row("·", str(line))
        shown.append(bullet)
    if shown:
        console.print(Text(title, style="bold"), Group(*shown))


def new_table(title: str, *columns: str) -> Table:
    """A table whose cells fold where there is no room."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def new_grid(width: int | None = None) -> Table:
    """Lines of a name and what belongs to it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, width=width)
    grid.add_column(overflow="fold")
    return grid


def framed(content: RenderableType, title: str) -> Panel:
    """A panel as wide as what is in it."""
    return Panel(content, title=Text(title, style="bold"), title_align="left", box=box.ROUNDED, expand=False)


@contextmanager
def printing() -> Iterator[Console]:
    """A console whose output is written at once, when all of it is there."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    with until_closed():
        with console.capture() as capture:
            yield console
        sys.stdout.write(capture.get())
        sys.stdout.flush()
