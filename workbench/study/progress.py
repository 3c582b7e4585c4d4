"""What is seen of a run while it goes on: a live bar on a terminal and in a notebook, plain lines elsewhere.

The workflow knows a `Watch`, a few functions; where they draw is decided here. Everything goes to standard
error, so that standard output holds the result and nothing else.
"""

from __future__ import annotations

import html
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Unpack

from workbench.core.formatting import duration
from workbench.study.watch import Figures, Watch, silent

#: A plain line at most this often, in seconds.
_LINE_EVERY = 5.0


@contextmanager
def watching(stream: IO[str] | None = None) -> Iterator[Watch]:
    """A Watch that draws on `stream` (standard error by default): live where that can be, else lines."""
    stream = stream or sys.stderr
    show = _notebook()
    with _page(show) if show else (_live if stream.isatty() else _plain)(stream) as watch:
        yield watch


@contextmanager
def watched() -> Iterator[Watch]:
    """A Watch that draws live in a notebook and on a terminal, and nothing elsewhere."""
    if _notebook() or sys.stderr.isatty():
        with watching() as watch:
            yield watch
    else:
        yield silent()


def _notebook() -> Callable[[str], None] | None:
    """What shows HTML in one place of this cell and replaces it there; None outside notebooks."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or not hasattr(shell, "kernel"):  # as in a terminal
        return None
    display = importlib.import_module("IPython.display")
    handle = display.display(display.HTML(""), display_id=True)
    return lambda html: handle.update(display.HTML(html))


@contextmanager
def _page(show: Callable[[str], None]) -> Iterator[Watch]:
    """A bar under the cell, with what is done and noted above it."""
    done: list[str] = []
    current, began, figures, epochs_of = "", time.monotonic(), "", 0

    def draw() -> None:
        lines = [*done, f"<b>{html.escape(current)}</b> {figures}" if current else ""]
        show("<br>".join(filter(None, lines)))

    def stage(text: str) -> None:
        nonlocal current, began, figures
        if current:
            done.append(f"✓ {html.escape(current)} {duration(time.monotonic() - began)}")
        current, began, figures = text, time.monotonic(), ""
        draw()

    def plan(total: int, epochs: int) -> None:
        nonlocal epochs_of
        del total  # every report brings it
        epochs_of = epochs

    def progress(**now: Unpack[Figures]) -> None:
        nonlocal figures
        parts = [_trials(now), f"{now['pruned']} pruned", f"{now['failed']} failed", _best(now)]
        parts += [_rung(now, epochs_of), *_left(now)]
        bar = f'<progress value="{now["done"]}" max="{now["total"]}"></progress>'
        figures = f"{bar} {html.escape(', '.join(parts))}"
        draw()

    def note(text: str) -> None:
        done.append(f"<i>note</i> {html.escape(text)}")
        draw()

    yield Watch(stage, plan, progress, note)
    stage("")


@contextmanager
def _plain(stream: IO[str]) -> Iterator[Watch]:
    """Lines, throttled; the first and the last report of a search are never dropped."""
    epochs_of = 0
    last = -_LINE_EVERY

    def say(text: str) -> None:
        print(text, file=stream, flush=True)

    def plan(total: int, epochs: int) -> None:
        nonlocal epochs_of, last
        epochs_of, last = epochs, -_LINE_EVERY
        say(f"  {total} trials of up to {epochs} epochs")

    def progress(**now: Unpack[Figures]) -> None:
        nonlocal last
        over, moment = now["done"] >= now["total"], time.monotonic()
        if moment - last < _LINE_EVERY and not over:
            return
        last = moment
        parts = [_trials(now), f"{now['pruned']} pruned", f"{now['failed']} failed", _best(now)]
        if not over:
            parts += [_rung(now, epochs_of), *_left(now)]
        say("  " + ", ".join(parts))

    yield Watch(say, plan, progress, lambda text: say(f"  note: {text}"))


@contextmanager
def _live(stream: IO[str]) -> Iterator[Watch]:
    """A bar with its figures on the last lines of a terminal; stages and notes scroll above it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    console = Console(file=stream, highlight=False)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    epochs_of = 0
    task: TaskID | None = None
    began = time.monotonic()
    current = ""

    def finish() -> None:
        nonlocal task
        if task is not None:
            bar.remove_task(task)
            task = None
            console.print(f"[green]✓[/] {escape(current)} [dim]{duration(time.monotonic() - began)}[/]")

    def stage(text: str) -> None:
        nonlocal task, began, current
        finish()
        began, current = time.monotonic(), text
        task = bar.add_task(escape(text), total=None, figures="")

    def plan(total: int, epochs: int) -> None:
        nonlocal epochs_of
        del total  # every report brings it
        epochs_of = epochs

    def progress(**now: Unpack[Figures]) -> None:
        if task is None:
            stage("searching")
        assert task is not None
        figures = (
            f"{_trials(now)}  [yellow]{now['pruned']} pruned[/]  {_red(now['failed'])}\n"
            f"[bold]{_best(now)}[/]  {''.join(_left(now))}\n"
            f"[dim]{_rung(now, epochs_of)}[/]"
        )
        bar.update(task, total=now["total"], completed=now["done"], figures=figures)

    with bar:
        yield Watch(stage, plan, progress, lambda text: console.print(f"[yellow]note[/] {escape(text)}"))
        finish()


def _trials(now: Figures) -> str:
    return f"{now['done']}/{now['total']} trials"


def _best(now: Figures) -> str:
    value = now["best_value"]
    return "best –" if value is None else f"best {value:.4g} (trial {now['best_trial']})"


def _left(now: Figures) -> list[str]:
    """The estimate; nothing until there is something to estimate from."""
    return [] if now["eta_seconds"] is None else [f"{duration(now['eta_seconds'])} left"]


def _rung(now: Figures, epochs_of: int) -> str:
    return f"rung {now['rung']}, epoch {now['epochs_done']}{f'/{epochs_of}' if epochs_of else ''}"


def _red(failed: int) -> str:
    return f"[red]{failed} failed[/]" if failed else "0 failed"
