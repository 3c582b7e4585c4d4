"""What the guide says for Slurm and Kubernetes: run, or held together, as far as one machine can."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.end_to_end import Place, Ran, environment, place, scores
from workbench.cli.main import _options

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "experiments" / "benchmarks" / "README.md").read_text(encoding="utf-8")
#: Runs a command once for each task, and ends when all have ended.
SRUN = """\
#!/bin/bash
for word; do
  case $word in
    --ntasks=*) tasks=${word#*=} ;;
    --*) ;;
    *) break ;;
  esac
  shift
done
for task in $(seq "$tasks"); do "$@" & done
wait
"""


def block(language: str) -> str:
    """The guide's one block in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_slurm_script_runs_a_study_by_the_tasks_of_its_job(
    finished: tuple[Place, Ran], tmp_path: Path
) -> None:
    """As `sbatch` would start it on three nodes, all of which are this machine."""
    where, bin_ = place(tmp_path), tmp_path / "bin"
    bin_.mkdir()
    python = shlex.quote(sys.executable)
    for name, text in {"srun": SRUN, "workbench": f'#!/bin/sh\nexec {python} -m workbench "$@"\n'}.items():
        (bin_ / name).write_text(text)
        (bin_ / name).chmod(0o755)
    script = block("bash")
    assert "--interface ib0" in script
    assert "studies/digits-mlp.toml" in script
    (tmp_path / "job.sh").write_text(
        script.replace("ib0", "lo").replace("studies/digits-mlp.toml", where.file.name)
    )
    slurm = {"SUBMIT_DIR": str(tmp_path), "JOB_ID": "7", "NNODES": "3", "CPUS_ON_NODE": "1"}
    environ = environment() | {f"SLURM_{name}": value for name, value in slurm.items()}
    environ |= {"SLURMD_NODENAME": "here", "WORKBENCH_HOME": str(where.home), "PYTHONPATH": str(ROOT)}
    environ["PATH"] = f"{bin_}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(
        ["bash", "-m", "job.sh"], cwd=tmp_path, env=environ, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as job:  # fmt: skip
        try:
            told, _ = job.communicate(timeout=300)
        finally:
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)
    assert job.returncode == 0, told
    assert told.count("worker at tcp://127.0.0.1:") == 2
    assert "workers beside this process" in told
    assert scores(where.outcome) == scores(finished[0].outcome)


@pytest.fixture(scope="module")
def objects() -> dict[tuple[str, str], Any]:
    """What `kubectl apply` would be told, by kind and name."""
    found = list(yaml.safe_load_all(block("yaml")))
    named = {(one["kind"], one["metadata"]["name"]): one for one in found}
    assert len(named) == len(found)
    return named


def templates(objects: dict[tuple[str, str], Any]) -> dict[str, Any]:
    return {
        one["metadata"]["name"]: one["spec"]["template"]
        for one in objects.values()
        if "template" in one["spec"]
    }


def test_every_pod_runs_a_command_that_there_is(objects: dict[tuple[str, str], Any]) -> None:
    image = re.search(r"image: (\S+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert image is not None
    commands = {}
    for name, template in templates(objects).items():
        (container,) = template["spec"]["containers"]
        assert container["image"] == image[1]
        commands[name] = _options([str(word) for word in container["args"]])
    assert commands["scheduler"].host == "0.0.0.0"
    assert (ROOT / commands["study"].study).exists(), "the image has the studies"
    (variable,) = templates(objects)["study"]["spec"]["containers"][0]["env"]
    assert variable["name"] == "WORKBENCH_CLUSTER"
    service = objects["Service", "scheduler"]
    assert (
        commands["worker"].address
        == variable["value"]
        == f"tcp://scheduler:{service['spec']['ports'][0]['port']}"
    )


def test_pods_are_found_by_their_labels(objects: dict[tuple[str, str], Any]) -> None:
    of = {name: template["metadata"]["labels"] for name, template in templates(objects).items()}
    for kind, name in objects:
        spec = objects[kind, name]["spec"]
        if kind == "Deployment":
            assert spec["selector"]["matchLabels"] == of[name]
        if kind == "Service":
            chosen = [one for one, labels in of.items() if spec["selector"].items() <= labels.items()]
            assert chosen == ["scheduler"]
            (open_,) = templates(objects)["scheduler"]["spec"]["containers"][0]["ports"]
            assert spec["ports"][0]["targetPort"] == open_["containerPort"]
    policy = objects["NetworkPolicy", "scheduler"]["spec"]
    (rule,) = policy["ingress"]
    for selector in (policy["podSelector"], rule["from"][0]["podSelector"]):
        assert all(selector["matchLabels"].items() <= labels.items() for labels in of.values())


def test_what_a_study_leaves_is_kept(objects: dict[tuple[str, str], Any]) -> None:
    pod = templates(objects)["study"]["spec"]
    (mount,), (volume,) = pod["containers"][0]["volumeMounts"], pod["volumes"]
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert f"WORKBENCH_HOME={mount['mountPath']}" in dockerfile
    assert mount["name"] == volume["name"]
    assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in objects
    assert f"--uid {pod['securityContext']['fsGroup']}" in dockerfile, "its user may write there"
