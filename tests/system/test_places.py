"""Places that cannot hold what a command writes, command by command: a sentence, and nothing unexpected."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_wine

from tests.helpers.end_to_end import Place, Ran
from workbench.cli.main import main

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow, which reads

#: What is called on a home that may be read alone, and whether it has to write there.
COMMANDS = {
    ("check", "STUDY"): False,
    ("run", "STUDY"): False,  # it is finished, and is only read
    ("run", "OTHER"): True,
    ("show", "STUDY"): False,  # prints what is known, and that the report is not written
    ("predict", "STUDY", "ROWS", "-o", "OUT"): False,
    ("predict", "STUDY", "ROWS", "-o", "THERE"): True,
    ("reproduce", "STUDY"): False,
    ("ledger", "--verify"): False,
}


@pytest.mark.slow
@pytest.mark.parametrize("full", [False, True], ids=["read only", "full"])
def test_a_home_that_takes_nothing(
    full: bool, finished: tuple[Place, Ran], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here: that needs root")
    try:
        home = disk / "home"
        shutil.copytree(finished[0].home, home)
        if full:
            filled = subprocess.run(
                ["dd", "if=/dev/zero", f"of={disk}/rest"], check=False, capture_output=True
            )
            assert filled.returncode
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        other = tmp_path / "other.toml"
        other.write_text(finished[0].file.read_text().replace('"small"', '"other"'))
        rows = tmp_path / "rows.csv"
        load_wine(as_frame=True).data.head(3).to_csv(rows, index=False)
        words = {
            "STUDY": str(finished[0].file), "OTHER": str(other), "ROWS": str(rows),
            "OUT": str(tmp_path / "out.csv"), "THERE": str(disk / "out.csv"),
        }  # fmt: skip
        for command, writes in COMMANDS.items():
            if full and command[0] == "show":  # what is there already may be written over
                continue
            status = main([*(words.get(word, word) for word in command), "--home", str(home)])
            err = capsys.readouterr().err
            assert "unexpected" not in err, command
            assert "Traceback" not in err, command
            assert status == (2 if writes else 0), (command, err)
            if writes:
                assert "Read-only file system" in err or "No space left" in err, err
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("content", [b"{}", b"[]", b"null", b"", b"{", b"\xff\xfe", b'{"format": 1}'])
def test_a_description_of_a_model_that_is_none(
    content: bytes, finished: tuple[Place, Ran], tmp_path: Path
) -> None:
    from workbench.core.errors import StoreError
    from workbench.evaluation import saved_model

    folder = shutil.copytree(finished[0].folder / "model", tmp_path / "model")
    assert saved_model.load(folder).predict(np.zeros((1, 13)))["prediction"].size == 1
    (folder / "model.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"the model cannot be read .*; run the study again"):
        saved_model.load(folder)
