"""Workers in processes of their own: they change how long a search takes and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.helpers.end_to_end import Place, Ran, environment, place, process, scores, workbench
from tests.helpers.servers import free_port, wait
from workbench.cli.main import main
from workbench.core.errors import InputError
from workbench.storage import database

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries that read

ROOT = Path(__file__).parents[2]
#: One program, and lanes that are worth a message.
LONG = """\
name = "long"
[data]
source = "digits"
[model]
family = "mlp"
depth  = 1
width  = 16
[optimizer]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
[training]
epochs     = 1200
batch_size = 32
[search]
trials   = 30
sampler  = "random"
parallel = 8
seeds    = 1
"""
#: A worker that has another version of jax, as far as it can tell.
OTHER_VERSION = """
import sys
from workbench.study import helper
old = helper.versions
helper.versions = lambda: {**old(), "jax": "0.0.1"}
from workbench.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


class Lab:
    """A scheduler, workers, and a leader of one core, each in a process of its own."""

    def __init__(self, folder: Path, stack: ExitStack, host: str = "127.0.0.1", **environ: str) -> None:
        self.folder, self._stack, self._environ = folder, stack, environ
        self.where = place(folder / "study", LONG)
        self.file = folder / "scheduler.json"
        self.scheduler = self.start(
            "scheduler", "--host", host, "--port", "0", "--scheduler-file", str(self.file)
        )
        wait(self.file.exists, 60)
        self.address = json.loads(self.file.read_text())["address"]

    def start(
        self, *words: str, program: tuple[str, ...] = ("-m", "workbench"), within: tuple[str, ...] = ()
    ) -> subprocess.Popen[str]:
        """A command beside the test, in a folder without any data."""
        started = subprocess.Popen(
            [*within, sys.executable, *program, *words], cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment() | {"WORKBENCH_CORES": "1", "PYTHONPATH": str(ROOT)} | self._environ,
        )  # fmt: skip
        self._stack.callback(started.communicate)
        self._stack.callback(started.kill)
        return started

    def worker(self, **options: Any) -> subprocess.Popen[str]:
        """One that has joined."""
        worker = self.start(
            "worker", self.address, "--home", str(self.folder / "worker"), "--json", **options
        )
        assert worker.stderr is not None
        while "worker at" not in (line := worker.stderr.readline()):
            assert line, "it ended"
        return worker

    def leader(self, address: str = "") -> subprocess.Popen[str]:
        """The study, with whoever is there."""
        words = (
            "--home",
            str(self.where.home),
            "--search-only",
            "--json",
            "--cluster",
            address or self.address,
        )
        return self.start("run", str(self.where.file), *words)

    def searching(self) -> None:
        """Wait until the search is well under way."""
        wait(
            lambda: any(self.where.home.glob("studies/*/journal")) and len(self.where.events("launch")) > 3,
            300,
        )

    def ended(self, leader: subprocess.Popen[str], alone: dict[str, Any]) -> str:
        """Wait for the leader, whose search is the undisturbed one; what it has told."""
        _, err = leader.communicate(timeout=300)
        assert leader.returncode == 0, err
        assert scores(self.where.outcome) == alone
        return err


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    with ExitStack() as stack:
        yield Lab(tmp_path, stack, **getattr(request, "param", {}))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the study finds by itself."""
    where = place(tmp_path_factory.mktemp("alone"), LONG)
    ran = where.run("--search-only")
    assert ran.status == 0, ran.err
    return scores(where.outcome)


def stopped(worker: subprocess.Popen[str]) -> None:
    """A signal is the way to end it."""
    worker.send_signal(signal.SIGINT)
    out, err = worker.communicate(timeout=60)
    assert worker.returncode == 0, err
    assert json.loads(out.splitlines()[-1]) == {"status": "ended"}
    assert "Traceback" not in err


def helped(err: str) -> int:
    """Lanes that workers have trained, as the leader tells."""
    (told,) = re.findall(r"workers have trained (\d+) of \d+ lanes", err)
    return int(told)


def test_workers_train_and_the_search_is_the_same(lab: Lab, alone: dict[str, Any]) -> None:
    first = lab.worker()
    leader = lab.leader()
    lab.searching()
    late = lab.worker()
    err = lab.ended(leader, alone)
    for attempt in range(4):  # on a busy machine the search is over before a worker has compiled anything
        if helped(err):
            break
        lab.where = Place(lab.where.file, lab.folder / str(attempt))
        err = lab.ended(lab.leader(), alone)
    assert helped(err) > 0
    stopped(first)
    stopped(late)
    assert not list((lab.folder / "worker").glob("studies")), "it keeps nothing but compiled programs"


def test_a_worker_that_is_killed_and_one_that_is_another_version(lab: Lab, alone: dict[str, Any]) -> None:
    first, _, other = lab.worker(), lab.worker(), lab.worker(program=("-c", OTHER_VERSION))
    leader = lab.leader()
    lab.searching()
    first.kill()
    err = lab.ended(leader, alone)
    assert err.count("it has jax 0.0.1, and the study is run with") == 1
    stopped(other)


@pytest.mark.parametrize("lab", [{"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "3s"}], indirect=True)
def test_a_worker_that_is_stopped_for_longer_than_it_may_be_silent(lab: Lab, alone: dict[str, Any]) -> None:
    hung, leader = lab.worker(), lab.leader()
    lab.searching()
    hung.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    lab.ended(leader, alone)
    time.sleep(max(0.0, 8.0 - (time.monotonic() - began)))
    hung.send_signal(signal.SIGCONT)
    hung.communicate(timeout=60)
    assert hung.returncode == 0, "whoever started it starts it again"


@pytest.mark.slow
def test_a_worker_that_is_stopped_for_ninety_seconds(lab: Lab, alone: dict[str, Any]) -> None:
    hung, leader = lab.worker(), lab.leader()
    lab.searching()
    hung.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    lab.ended(leader, alone)
    assert time.monotonic() - began < 80, "nobody waits for it"
    time.sleep(max(0.0, 90.0 - (time.monotonic() - began)))
    hung.send_signal(signal.SIGCONT)
    try:
        hung.communicate(timeout=10)
    except subprocess.TimeoutExpired:  # the scheduler looks once a minute, and has not missed it yet
        hung.terminate()
        hung.communicate(timeout=60)
    assert hung.returncode == 0


def test_a_leader_goes_on_alone_when_the_scheduler_is_gone(lab: Lab, alone: dict[str, Any]) -> None:
    worker, leader = lab.worker(), lab.leader()
    lab.searching()
    lab.scheduler.kill()
    err = lab.ended(leader, alone)
    assert err.count("no scheduler answers") <= 1
    worker.communicate(timeout=60)
    assert worker.returncode == 0


def test_a_network_that_swallows_everything(lab: Lab, alone: dict[str, Any]) -> None:
    """Nothing is refused and nothing is answered from some moment on, as behind a cable that is cut."""
    lab.worker()
    host, port = lab.address.removeprefix("tcp://").split(":")
    with relay(host, int(port)) as (at, cut):
        leader = lab.leader(f"tcp://127.0.0.1:{at}")
        lab.searching()
        cut.set()
        lab.ended(leader, alone)


@pytest.mark.slow
def test_a_machine_whose_cable_is_pulled(tmp_path: Path, alone: dict[str, Any]) -> None:
    """A worker in a network of its own, which is cut off and comes back after it was given up."""
    name, near, far = f"wb{os.getpid()}", f"wn{os.getpid()}", f"wf{os.getpid()}"
    made = [
        f"netns add {name}",
        f"link add {near} type veth peer name {far}",
        f"link set {far} netns {name}",
        f"addr add 10.211.7.1/30 dev {near}",
        f"link set {near} up",
        f"-n {name} addr add 10.211.7.2/30 dev {far}",
        f"-n {name} link set {far} up",
        f"-n {name} link set lo up",
    ]
    ip = lambda words: subprocess.run(["ip", *words.split()], check=False, capture_output=True).returncode  # noqa: E731
    with ExitStack() as stack:
        stack.callback(ip, f"netns del {name}")
        stack.callback(ip, f"link del {near}")
        if os.geteuid() or not shutil.which("ip") or any(ip(words) for words in made):
            pytest.skip("no networks can be made here: that needs root")
        lab = Lab(tmp_path, stack, "10.211.7.1", DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="3s")
        apart, leader = lab.worker(within=("ip", "netns", "exec", name)), lab.leader()
        lab.searching()
        ip(f"link set {near} down")
        began = time.monotonic()
        lab.ended(leader, alone)
        time.sleep(max(0.0, 8.0 - (time.monotonic() - began)))
        ip(f"link set {near} up")
        apart.communicate(timeout=120)
        assert apart.returncode == 0


@contextmanager
def relay(host: str, port: int) -> Iterator[tuple[int, threading.Event]]:
    """A port that leads to another one, until the event is set; then connections stay and bytes are lost."""
    listener, cut = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if not cut.is_set():
                    target.sendall(data)
        except OSError:
            return
        if not cut.is_set():
            target.close()

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection((host, port))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], cut
    finally:
        listener.close()


def test_workers_of_this_machine_end_with_the_search(tmp_path: Path, alone: dict[str, Any]) -> None:
    where = place(tmp_path, LONG)
    ran = where.run("--search-only", "--cluster", "local:1")
    assert ran.status == 0, ran.err
    assert helped(ran.err) >= 0
    assert scores(where.outcome) == alone


def test_a_scheduler_that_is_not_there_is_told_and_stops_nothing(
    finished: tuple[Place, Ran], tmp_path: Path
) -> None:
    where = place(tmp_path)
    ran = where.run("--cluster", f"127.0.0.1:{free_port()}")
    assert ran.status == 0, ran.err
    assert ran.err.count("no scheduler answers") == 1
    assert scores(where.outcome) == scores(finished[0].outcome)


def test_a_worker_that_waits_can_be_interrupted(tmp_path: Path) -> None:
    with process("worker", str(tmp_path / "none.json"), "--home", str(tmp_path), "--json") as worker:
        assert worker.stderr is not None
        assert "waiting for the scheduler" in worker.stderr.readline()
        stopped(worker)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["worker"], "workbench worker: an empty address names no scheduler; give its address"),
        (["worker", "nonsense"], "--cluster = nonsense: names no scheduler"),
        (["worker", "local:2"], "workbench worker: local:2 names no scheduler"),
        (["worker", "host:1", "--device", "0"], "--device = 0: jax finds no such accelerator here"),
        (["worker", "host:1", "--device", "x"], "--device = x: must be a whole number"),
        (["scheduler", "--port", "x"], "--port = x: must be a whole number"),
        (["scheduler", "--scheduler-file", "s"], "--scheduler-file = s: the name must end in .json"),
        (["scheduler", "--host", "192.0.2.1"], "workbench scheduler: cannot listen on 192.0.2.1:8786"),
        (["scheduler", "--interface", "nowhere0"], "workbench scheduler: cannot listen on nowhere0:8786"),
        (["run", "STUDY", "--cluster", "nonsense"], "--cluster = nonsense: names no scheduler"),
    ],
)
def test_mistakes_are_told_in_a_sentence(words: list[str], sentence: str, tmp_path: Path) -> None:
    study = place(tmp_path).file
    ran = workbench(*[str(study) if word == "STUDY" else word for word in words])
    assert ran.status == 2
    assert sentence in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_second_scheduler_says_no_more_than_the_first() -> None:
    """Though the usual port of its dashboard is in use."""
    with ExitStack() as stack:
        with suppress(OSError):  # somebody else has it
            stack.enter_context(socket.create_server(("127.0.0.1", 8787)))
        ran = workbench("scheduler", "--host", "192.0.2.1")
    assert ran.status == 2
    assert ran.err.startswith("workbench scheduler: cannot listen on 192.0.2.1")
    assert len(ran.err.splitlines()) == 1


def test_from_python_the_address_is_checked_as_well(tmp_path: Path) -> None:
    for call in (wb.run, wb.search, wb.confirm):
        with pytest.raises(InputError, match="--cluster = nonsense: names no scheduler"):
            call(place(tmp_path).file, tmp_path / "home", cluster="nonsense")
    assert not (tmp_path / "home" / "studies").exists()


def test_a_second_leader_in_another_home_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from workbench.study.config import read_study

    where, storage = place(tmp_path), f"sqlite:///{tmp_path / 'shared.db'}"
    words = ["run", str(where.file), "--home", str(where.home), "--storage", storage, "--search-only"]
    name = f"study {read_study(where.file).id}"
    with database.hold(database.connect(storage), name):
        assert main(words) == 2
    assert "is being run by another process in another home" in capsys.readouterr().err
    assert not where.events("ask")
