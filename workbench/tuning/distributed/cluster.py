"""Helpers by dask.distributed: workers that a scheduler knows. This is the only file that imports it.

What travels are bytes. Parts go as arguments of tasks; rows are the results of tasks that others depend on,
so dask hands them from worker to worker, and makes them again if the only one that has them dies, which it
cannot do for data that were scattered. The settings are those that searching by strangers needs: a part that
was on a machine that was taken away is not to blame, a host that is silent for a minute is gone, and no
nanny, memory limit or profiler comes between a worker and its devices. What the user's own configuration of
dask says (a file, DASK_… variables; TLS as well) goes before all of them.

A worker has a thread of dask's for every part that it trains at a time. One thread that takes a message with
a part for every device makes all of them wait for the longest, and then for the next message: the benchmark
`workers` has what that costs.

An address is HOST:PORT with or without tcp:// or tls://, the file that a scheduler has written
(--scheduler-file), or local:N for N workers on this machine that end with the search.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.core.cores import VARIABLE, cores
from workbench.core.errors import InputError, WorkbenchError

if TYPE_CHECKING:
    from workbench.tuning.space import Variant

#: What trains parts over there: terms, packed parts and the rows that they need -> what they bring, packed.
Work = Callable[[bytes, bytes, Sequence[bytes]], bytes]

#: Settings of dask's, where its user has no other.
SETTINGS: Mapping[str, Any] = {
    "distributed": {
        "scheduler": {
            "worker-ttl": "60s",
            "allowed-failures": 1000,
            "active-memory-manager": {"start": False},  # would take the rows from workers between two parts
        },
        "worker": {"profile": {"enabled": False}},
        "admin": {"large-graph-warning-threshold": "1TB"},
    },
}
#: What a user need not see: how connections come and go.
LOGGED = {"distributed": "warning", "distributed.client": "critical"}
#: Seconds between two looks at who is there, and between two attempts to reach a scheduler.
LOOK_SECONDS = 1.0
#: Seconds that a scheduler has to answer.
ANSWER_SECONDS = 10.0
_LOCAL = re.compile(r"local:([1-9]\d{0,2})")
_HOST = re.compile(r"(?:(?:tcp|tls|ws|wss)://)?[^\s/:]+:\d{1,5}|(?:tcp|tls)://\[[0-9a-fA-F:]+\]:\d{1,5}")


def check(address: str) -> None:
    """Raises InputError for what is no address, and where dask.distributed is not installed."""
    pattern = _LOCAL if address.startswith("local:") else _HOST
    if not (pattern.fullmatch(address) or address.endswith(".json")):
        raise InputError(
            f"--cluster = {address}: names no scheduler; give tcp://HOST:PORT, the .json file that workbench "
            "scheduler --scheduler-file writes, or local:N for N workers on this machine"
        )
    check_installed(f"--cluster = {address}")


def check_installed(what: str) -> None:
    """Raises InputError where dask.distributed is not installed."""
    if importlib.util.find_spec("distributed") is None:
        raise InputError(f"{what}: needs dask.distributed; pip install 'workbench[cluster]'")


class Cluster:
    """The workers of a scheduler, as `crew.Helpers`.

    address  see the head of this file
    work     trains parts; workers import it by its name
    terms    its first argument
    rows     the rows of a variant, packed; asked once
    note     hears of a scheduler that does not answer, and once of one that is gone
    own      options of the workers of local:N

    A scheduler that is away, from the beginning or later, is looked for until the end.
    """

    def __init__(
        self,
        address: str,
        work: Work,
        terms: bytes,
        rows: Callable[[Variant], bytes],
        note: Callable[[str], None],
        own: Sequence[str] = (),
    ) -> None:
        check(address)
        self._own = own
        self._address, self._work, self._terms, self._rows, self._note = address, work, terms, rows, note
        self._threads: dict[str, int] = {}  # of each worker that has not refused
        self._refused: set[str] = set()
        self._client: Any = None  # while the scheduler answers
        self._held: dict[Variant, asyncio.Future[Any]] = {}  # dask's futures of rows
        self._told = ""
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)

    @property
    def workers(self) -> int:
        """How many there are that have not refused."""
        return len(self._threads)

    @property
    def room(self) -> int:
        """Lanes that they train at a time."""
        return sum(self._threads.values())

    def open(self) -> None:
        """See `crew.Helpers`."""
        self._thread.start()

    def send(self, content: bytes, variants: Sequence[Variant]) -> Future[bytes]:
        """See `crew.Helpers`."""
        work = self._train(content, variants)
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # it has ended by itself
            work.close()
            nobody: Future[bytes] = Future()
            nobody.cancel()
            return nobody

    def close(self) -> None:
        """Let go of the workers; those of local:N end."""
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(ANSWER_SECONDS)

    # ── in the thread ──

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._serve())
            except Exception as error:  # nothing that goes wrong here is to end a search
                self._gone(error)

    async def _serve(self) -> None:
        configure()
        async with AsyncExitStack() as stack:
            address = self._address
            if local := _LOCAL.fullmatch(address):
                address = await stack.enter_async_context(_on_this_machine(int(local[1]), self._own))
            while not self._over.is_set():
                try:
                    await self._watch(address)
                except (OSError, TimeoutError, ValueError, LookupError) as error:
                    self._gone(error)
                await self._pause()

    async def _watch(self, address: str) -> None:
        """Count the workers, as long as the scheduler answers."""
        from distributed import Client

        where = _read(address) if address.endswith(".json") else address
        client: Any = Client(where, asynchronous=True, timeout=ANSWER_SECONDS, set_as_default=False)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await client
            self._held.clear()
            self._client, self._told = client, ""
            while not self._over.is_set():
                if client.status != "running":
                    raise OSError("the connection is lost")
                async with asyncio.timeout(ANSWER_SECONDS):
                    found = await client.scheduler.ncores()
                self._threads = {name: n for name, n in found.items() if name not in self._refused}
                await self._pause()
        finally:
            self._client, self._threads = None, {}
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await client.close(timeout=1.0)

    async def _train(self, content: bytes, variants: Sequence[Variant]) -> bytes:
        client = self._client
        if client is None or client.status != "running":
            raise asyncio.CancelledError
        rows = [await self._hold(client, variant) for variant in variants]
        those = list(self._threads) if self._refused else None
        task = client.submit(train, self._work, self._terms, content, rows, pure=False, workers=those)
        try:
            address, brought = await task
        except CancelledError as error:  # dask's own kind, which is not asyncio's: the scheduler is gone
            raise asyncio.CancelledError from error
        finally:
            task.release()
        if isinstance(brought, bytes):
            return brought
        self._refused.add(address)
        self._threads = {name: n for name, n in self._threads.items() if name != address}
        raise WorkbenchError(f"{address}: {brought}")

    async def _hold(self, client: Any, variant: Variant) -> Any:
        """Dask's future of the rows of a variant."""

        async def made() -> Any:
            content = await asyncio.to_thread(self._rows, variant)
            return client.submit(hold, content, pure=False)

        if variant not in self._held:
            self._held[variant] = asyncio.ensure_future(made())
        return await asyncio.shield(self._held[variant])

    def _gone(self, error: Exception) -> None:
        if not self._told:
            said = getattr(error, "strerror", None) or str(error).partition("\n")[0] or "in time"
            self._told = (
                f"{self._address}: no scheduler answers ({said}); this process trains alone until one does"
            )
            self._note(self._told)

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._over.wait()


def train(work: Work, terms: bytes, content: bytes, rows: Sequence[bytes]) -> tuple[str, bytes | str]:
    """What a worker does: who it is, and what the parts have brought or why it refuses them."""
    from distributed import get_worker

    address = str(get_worker().address)
    try:
        return address, work(terms, content, rows)
    except WorkbenchError as error:
        return address, str(error)


def hold(rows: bytes) -> bytes:
    """Rows, as the result of a task."""
    return rows


def _read(file: str) -> str:
    """The address in the file of a scheduler."""
    return str(json.loads(Path(file).read_text(encoding="utf-8"))["address"])


def configure() -> None:
    """Make SETTINGS the defaults; what the user has said stays."""
    import dask

    dask.config.update_defaults({"logging": LOGGED})  # is read as distributed is imported, ...
    importlib.import_module("distributed")
    dask.config.update_defaults(SETTINGS)  # ... which brings defaults of its own


@asynccontextmanager
async def _on_this_machine(count: int, words: Sequence[str]) -> AsyncIterator[str]:
    """A scheduler in this process, and workers in processes of their own, which end when it does."""
    from distributed import Scheduler

    share = str(max(1, cores() // (count + 1)))
    async with Scheduler(
        host="127.0.0.1", port=0, dashboard=False, dashboard_address="127.0.0.1:0"
    ) as scheduler:
        command = [sys.executable, "-m", "workbench", "worker", scheduler.address, *words]
        environ = os.environ | {VARIABLE: share}
        workers = [
            subprocess.Popen(
                command, env=environ, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for _ in range(count)
        ]  # fmt: skip
        try:
            yield scheduler.address
        finally:
            for worker in workers:
                worker.kill()  # it has nothing to lose
                worker.wait()


# ── what `workbench scheduler` and `workbench worker` run ──


def serve_scheduler(
    host: str, port: int, interface: str | None, file: str | None, tell: Callable[[str], None]
) -> None:
    """Be a scheduler until a signal.

    host, interface  to listen on; an interface goes before a host
    file             to write the address to

    Raises InputError where it cannot listen.
    """

    async def serve() -> None:
        from distributed import Scheduler

        warnings.filterwarnings("ignore", "Port .* is already in use")  # the one it takes is told
        try:
            scheduler: Any = await Scheduler(
                host=None if interface else host, port=port, interface=interface,
                scheduler_file=file, dashboard=None, dashboard_address="127.0.0.1:8787",
            )  # fmt: skip
        except (OSError, ValueError, RuntimeError) as error:  # dask says that it failed, its cause says why
            raise InputError(
                f"workbench scheduler: cannot listen on {interface or host}:{port} "
                f"({error.__cause__ or error}); name another --host, --interface or --port"
            ) from error
        join = file or scheduler.address
        tell(f"scheduler at {scheduler.address}; join it with: workbench worker {join}")
        if importlib.util.find_spec("bokeh") is None:
            tell("no dashboard: dask draws it with bokeh, which is not installed")
        else:
            tell(f"dashboard at http://127.0.0.1:{scheduler.http_server.port}/status")
        try:
            await scheduler.finished()
        finally:
            await scheduler.close()

    _until_signal(serve())


def serve_worker(address: str, threads: int, tell: Callable[[str], None]) -> None:
    """Be a worker until its scheduler ends, or takes it for dead, or a signal; `threads` parts at a time."""

    async def serve() -> None:
        from distributed import Worker

        tell(f"waiting for the scheduler {address}")
        worker: Any = Worker(
            await _address(address),
            nthreads=threads, memory_limit=0, dashboard=False, dashboard_address="127.0.0.1:0",
        )  # fmt: skip
        await worker
        tell(f"worker at {worker.address}, {threads} parts at a time")
        try:
            await worker.finished()
        finally:
            await worker.close(timeout=1.0)

    _until_signal(serve())


async def _address(where: str) -> str:
    """The address of a scheduler, or what its file says as soon as it is there."""
    while where.endswith(".json") and not Path(where).exists():
        await asyncio.sleep(LOOK_SECONDS)
    return _read(where) if where.endswith(".json") else where


def _until_signal(serve: Coroutine[Any, Any, None]) -> None:
    """Run a server to its end, or until a signal, which is the way to end it."""
    configure()

    async def run() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(serve)
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # Windows, where it ends at once
                loop.add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
