"""The laboratory of docker-compose.yml, brought up by a real engine and used as the README says.

A copy of the checkout is used, so that records can be tampered with. WORKBENCH_ENGINE may name a script that
starts an engine where none runs.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.helpers.servers import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PARTS = (
    *("docker-compose.yml", "Dockerfile", ".dockerignore", "Makefile", "pyproject.toml", "requirements.lock"),
    *("README.md", "LICENSE", "workbench", "studies", "experiments"),
)
STUDY = "studies/shared.toml"  # digits-mlp with work for several at a time
TRIALS = 60
WORKERS = 3

#: Asks the tracking server from inside the network, as a client of MLflow does.
LOOK = """
import json, warnings
warnings.simplefilter("ignore")
import mlflow
from sklearn.datasets import load_digits
client = mlflow.MlflowClient()
(experiment,) = [one for one in client.search_experiments() if one.name == "digits-mlp"]
runs = client.search_runs([experiment.experiment_id], max_results=1000)
children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
model = mlflow.pyfunc.load_model("models:/digits-mlp@champion")
digits = load_digits(as_frame=True)
labels = model.predict(digits.data).iloc[:, 0].astype(str)
print(json.dumps({
    "parents": len(runs) - len(children),
    "children": len(children),
    "states": sorted({run.info.status for run in runs}),
    "accuracy": float((labels == digits.target.astype(str)).mean()),
}))
"""


class Said(NamedTuple):
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


class Compose(NamedTuple):
    """A checkout whose compose project is the tests' own."""

    folder: Path
    environ: dict[str, str]

    def __call__(self, *words: str, **environ: str) -> Said:
        return self.shell("docker", "compose", *words, **environ)

    def shell(self, *words: str, **environ: str) -> Said:
        """A command in the checkout."""
        done = subprocess.run(
            words, cwd=self.folder, env=self.environ | environ, capture_output=True, text=True, check=False,
            timeout=1500, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr)

    def must(self, *words: str, **environ: str) -> str:
        """Standard output of a service's command that has to succeed."""
        said = self("run", "--rm", "--no-TTY", *words, **environ)
        assert said.status == 0, said.err[-3000:]
        return said.out

    def result(self, *words: str) -> dict[str, Any]:
        """The JSON object of a workbench command."""
        return dict(json.loads(self.must(*words, "--json").splitlines()[-1]))

    def openings(self) -> list[int]:
        """The looks that the ledger holds, whose chain has to be whole."""
        told = self.result("--entrypoint", "workbench", "study", "ledger", "--verify")
        assert told["verified"] is True
        return [opening["look"] for opening in told["openings"]]


@pytest.fixture(scope="module")
def engine() -> dict[str, str]:
    """The environment in which docker answers, and in which images can be built. Skips where they cannot."""
    script, environ = os.environ.get("WORKBENCH_ENGINE"), dict(os.environ)
    if script:
        told = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
        if told.returncode:
            pytest.skip(f"{script} could not start an engine: {told.stderr[-300:]}")
        for line in told.stdout.splitlines():
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                environ[name] = value
    base = (ROOT / "Dockerfile").read_text().partition("ARG PYTHON=")[2].split()[0]
    fetch = ["python3", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", "/tmp", "iniconfig"]
    for what, needed in {
        "docker with compose": ["docker", "compose", "version"],
        f"{base} whose containers reach a package index": ["docker", "run", "--rm", base, *fetch],
    }.items():
        if shutil.which("docker") is None:
            pytest.skip("no docker on this machine, and WORKBENCH_ENGINE names no script for one")
        if subprocess.run(needed, env=environ, capture_output=True, check=False).returncode:
            pytest.skip(f"this machine has no {what}")
    return environ


@pytest.fixture(scope="module")
def checkout(engine: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """A copy of what compose needs; its containers and volumes go at the end."""
    folder = tmp_path_factory.mktemp("checkout")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    digits = (ROOT / "studies" / "digits-mlp.toml").read_text()
    (folder / STUDY).write_text(digits.replace("[search]\n", "[search]\nparallel = 16\n"))
    environ = engine | {"COMPOSE_PROJECT_NAME": f"tests{os.getpid()}", "MLFLOW_PORT": str(free_port())}
    environ.pop("POSTGRES_PASSWORD", None)
    for path in (folder, *folder.parents[:2]):  # of pytest, closed to the user inside the containers
        path.chmod(path.stat().st_mode | 0o055)
    compose = Compose(folder, environ)
    try:
        yield compose
    finally:
        compose("--profile", "*", "down", "--volumes", "--timeout", "5", POSTGRES_PASSWORD="unused")


@pytest.fixture(scope="module")
def up(checkout: Compose) -> Compose:
    """The same with its servers running."""
    said = checkout.shell("make", "up")
    assert said.status == 0, (said.out + said.err)[-3000:]
    return checkout


@pytest.fixture(scope="module")
def studied(up: Compose) -> dict[str, Any]:
    """The digits study, trained with three workers of which one is killed in the middle."""
    said = up("up", "--detach", "--scale", f"worker={WORKERS}", "worker")
    assert said.status == 0, said.err[-3000:]
    end = time.monotonic() + 300
    while up("logs", "--no-log-prefix", "worker").out.count("parts at a time") < WORKERS:
        assert time.monotonic() < end, up("logs").out[-3000:]
        time.sleep(0.5)
    words = [
        "docker",
        "compose",
        "run",
        "--rm",
        "--no-TTY",
        "study",
        STUDY,
        "--trials",
        str(TRIALS),
        "--json",
    ]
    with subprocess.Popen(
        words, cwd=up.folder, env=up.environ, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as study:  # fmt: skip
        assert study.stderr is not None
        heard = ""
        while f"{WORKERS} workers beside this process" not in heard:
            heard += (line := study.stderr.readline())
            assert line, heard[-3000:]
        time.sleep(2.0)
        killed = up("ps", "--quiet", "worker").out.split()[0]
        assert up.shell("docker", "kill", killed).status == 0
        out, err = study.communicate(timeout=1200)
    assert study.returncode == 0, err[-3000:]
    return dict(json.loads(out.splitlines()[-1]))


def test_the_file_is_valid_and_asks_for_a_password(checkout: Compose) -> None:
    said = checkout("config", "--quiet")
    assert said.status != 0
    assert "POSTGRES_PASSWORD" in said.err
    assert "make up" in said.err
    for profile in ("worker", "gpu", "*"):
        said = checkout("--profile", profile, "config", "--quiet", POSTGRES_PASSWORD="anything")
        assert (said.status, said.err) == (0, "")


def test_the_servers_come_up_with_a_password_of_their_own(up: Compose) -> None:
    secret = up.folder / ".env"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    kept = secret.read_text()
    assert len(kept) > 40
    assert up.shell("make", "up").status == 0
    assert secret.read_text() == kept
    states = [json.loads(line) for line in up("ps", "--format", "json").out.splitlines()]
    assert {one["Service"]: one["Health"] for one in states if one["State"] == "running"} == {
        "postgres": "healthy",
        "mlflow": "healthy",
    }
    published = [one for service in states for one in service["Publishers"] or [] if one["PublishedPort"]]
    assert {one["URL"] for one in published} == {"127.0.0.1"}


def test_nothing_in_the_image_can_be_written_that_need_not_be(up: Compose) -> None:
    find = (
        "id -u; find / -xdev -writable -not -type l -not -path '/dev*' -not -path '/proc/*' 2>/dev/null; true"
    )
    shell = ["run", "--rm", "--no-TTY", "--no-deps", "--entrypoint", "sh", "study", "-c"]
    user, *found = up(*shell, find).out.splitlines()
    assert user == "10001"
    assert set(found) <= {"/tmp", "/var/tmp", "/run/lock", "/runs", "/artifacts"}
    assert "Read-only file system" in up(*shell, "touch /var/tmp/x").err
    assert "studies/x" in up(*shell, "touch studies/x").err


def test_a_study_survives_the_death_of_a_worker(up: Compose, studied: dict[str, Any]) -> None:
    assert studied["status"] == "confirmed"
    assert studied["trials"]["total"] == TRIALS
    assert studied["trials"]["failed"] == 0
    assert studied["test"]["look"] == 1
    assert studied["test"]["value"] > 0.94
    assert up.openings() == [1]
    told = json.loads(up.must("--entrypoint", "python", "study", "-c", LOOK).splitlines()[-1])
    accuracy = told.pop("accuracy")
    assert told == {"parents": 1, "children": TRIALS, "states": ["FINISHED", "KILLED"]}  # killed: pruned
    assert accuracy > 0.96
    reach = "import socket; socket.create_connection(('postgres', 5432), 3)"
    scheduler = up.shell("docker", "compose", "exec", "-T", "scheduler", "python", "-c", reach)
    assert scheduler.status != 0, "the scheduler sees workers and studies, and nothing else"
    assert up("ps", "--quiet", "worker").out.count("\n") >= WORKERS - 1, "they serve the next study"


def test_down_and_up_keep_everything(up: Compose, studied: dict[str, Any]) -> None:
    assert up.shell("make", "down").status == 0
    assert up("ps", "--all", "--quiet").out == ""
    assert up.shell("make", "up").status == 0
    assert up.result("study", STUDY, "--trials", str(TRIALS)) == studied
    said = up.must("study", STUDY, "--trials", str(TRIALS))
    assert (
        f"http://localhost:{up.environ['MLFLOW_PORT']}/#/experiments/" in said
    )  # as a browser out here reads it
    assert up.openings() == [1]


def test_a_backup_brings_everything_back(up: Compose, studied: dict[str, Any]) -> None:
    said = up.shell("make", "backup", "BACKUP=kept")
    assert said.status == 0, said.err[-3000:]
    assert {path.name for path in (up.folder / "kept").iterdir()} == {
        "workbench.dump", "mlflow.dump", "runs.tar", "artifacts.tar"
    }  # fmt: skip
    assert up("--profile", "*", "down", "--volumes").status == 0
    said = up.shell("make", "restore", "BACKUP=kept")
    assert said.status == 0, said.err[-3000:]
    assert up.result("study", STUDY, "--trials", str(TRIALS)) == studied
    assert up.openings() == [1]
    told = json.loads(up.must("--entrypoint", "python", "study", "-c", LOOK).splitlines()[-1])
    assert told["children"] == TRIALS
    refused = up.shell("make", "restore", "BACKUP=nowhere")
    assert refused.status == 2
    assert "a folder that make backup wrote" in refused.out


def test_reproduction_passes_and_a_tampered_record_fails(up: Compose, studied: dict[str, Any]) -> None:
    assert up.result("reproduce", "c28")["agrees"] is True
    assert up.result("reproduce", STUDY)["agrees"] is True
    (path,) = (up.folder / "experiments" / "records").glob("c28_*.json")
    kept = path.read_text()
    record = json.loads(kept)
    record["effects"][3] *= 1.5
    path.write_text(json.dumps(record))
    try:
        said = up("run", "--rm", "--no-TTY", "reproduce", "c28", "--json")
    finally:
        path.write_text(kept)
    assert said.status == 1, said.err[-3000:]
    told = json.loads(said.out.splitlines()[-1])
    assert told["agrees"] is False
    assert any("its effects" in difference for difference in told["differences"])
