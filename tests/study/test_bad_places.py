"""Homes, servers, packages and journals that cannot serve: exit status 2, one sentence, nothing written."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers.bad_input_cases import refused, study_text
from workbench.core.locations import resolve
from workbench.storage.journal import Journal
from workbench.study.config import read_study
from workbench.tuning import samplers


def test_home_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "x.toml").write_text(study_text())
    for home in ("file", "file/home", "file/a/b"):
        where = str(tmp_path / home)
        refused(["run", str(tmp_path / "x.toml"), "--home", where], (where, "--home"), tmp_path, capsys)


@pytest.mark.parametrize(
    ("command", "option", "address"),
    [
        (["run"], "--storage", "postgresql://me:secret@127.0.0.1:{port}/optuna"),
        (["experiment", "c28"], "--tracking-uri", "http://me:secret@127.0.0.1:{port}"),
    ],
)
def test_server_that_does_not_answer(
    command: list[str], option: str, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if option == "--storage":
        pytest.importorskip("psycopg")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]  # bound and not listening: refused at once
        (tmp_path / "x.toml").write_text(study_text())
        study = [str(tmp_path / "x.toml")] if command == ["run"] else []
        argv = [*command, *study, "--home", str(tmp_path / "home"), option, address.format(port=port)]
        sentence = refused(argv, (f"127.0.0.1:{port}",), tmp_path, capsys)
    assert "secret" not in sentence


def test_sampler_whose_package_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(samplers.NEEDS, "gp", {"no_such_package": "PyTorch"})
    file = tmp_path / "x.toml"
    file.write_text(study_text("search", "sampler = 'gp'"))
    says = (f'{file}: [search] sampler = "gp"', "PyTorch", "pip install")
    for command in ("check", "run"):
        refused([command, str(file), "--home", str(tmp_path / "home")], says, tmp_path, capsys)


def test_study_that_another_process_is_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.toml"
    file.write_text(study_text())
    journal = resolve(str(tmp_path / "home")).study(read_study(file).id) / "journal"
    with closing(Journal(journal)):
        says = (str(journal), "another process")
        refused(["run", str(file), "--home", str(tmp_path / "home")], says, tmp_path, capsys)


def test_journal_that_was_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.toml"
    file.write_text(study_text())
    journal = resolve(str(tmp_path / "home")).study(read_study(file).id) / "journal"
    with closing(Journal(journal)) as spool:
        spool.append([{"kind": "ask"}, {"kind": "launch"}])
    journal.write_bytes(journal.read_bytes().replace(b"ask", b"ass"))
    says = (str(journal), "line 1 is damaged")
    refused(["run", str(file), "--home", str(tmp_path / "home")], says, tmp_path, capsys)
