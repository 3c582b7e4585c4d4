"""The journal under every way a write can be cut short, and in real processes that are really killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.errors import StoreError
from workbench.storage.journal import Journal, read

RECORDS = [
    {"kind": "ask", "first": 0, "params": [{"a": 0.1}]},
    {"kind": "launch", "name": 'ü\n"x"'},
    {"kind": "end"},
]


def write(path: Path, *appends: list[dict[str, object]]) -> None:
    journal = Journal(path)
    for records in appends:
        journal.append(records)
    journal.close()


def test_records_come_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal"
    write(path, RECORDS[:1], RECORDS[1:])
    assert read(path) == RECORDS
    journal = Journal(path)
    assert journal.records == RECORDS
    assert list(journal.of_kind("end")) == RECORDS[2:]
    journal.close()
    assert read(tmp_path / "none") == []


def test_what_is_not_kept_is_in_the_file_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append(RECORDS[:1])
    journal.append(RECORDS[1:2], kept=False)
    journal.append(RECORDS[2:])
    assert journal.records == [RECORDS[0], RECORDS[2]]
    journal.close()
    assert read(tmp_path / "journal") == RECORDS


def test_cut_at_every_byte_of_the_last_record(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, RECORDS)
    whole = path.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        assert read(path) == RECORDS[:2]
        write(path, [{"kind": "after"}])
        assert read(path) == [*RECORDS[:2], {"kind": "after"}]


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_believed(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "journal"
    write(path, RECORDS)
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1 << bit
    path.write_bytes(bytes(content))
    found, said = [], "damaged"
    try:
        found = read(path)
    except StoreError as error:
        said = str(error)
    assert "damaged" in said
    assert found == RECORDS[: len(found)]
    assert len(found) < len(RECORDS)


@given(first=st.integers(0, 5), last=st.integers(0, 5), at=st.integers(0, 6))
def test_lines_that_stand_there_twice_are_read_once(
    tmp_path_factory: pytest.TempPathFactory, first: int, last: int, at: int
) -> None:
    path = tmp_path_factory.mktemp("twice") / "journal"
    records = [{"kind": "n", "n": n % 2} for n in range(6)]  # alike, and none a copy
    write(path, records)
    lines = path.read_bytes().splitlines(keepends=True)
    at = max(at, last + 1)  # behind the originals
    path.write_bytes(b"".join(lines[:at] + lines[first : last + 1] + lines[at:]))
    assert read(path) == records
    write(path, [{"kind": "after"}])
    assert read(path) == [*records, {"kind": "after"}]


@given(order=st.permutations(range(5)), kept=st.integers(1, 5))
def test_lines_that_are_missing_or_out_of_order_are_refused(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], kept: int
) -> None:
    path = tmp_path_factory.mktemp("order") / "journal"
    records = [{"kind": "n", "n": n} for n in range(5)]
    write(path, records)
    lines = path.read_bytes().splitlines(keepends=True)
    chosen = order[:kept]
    path.write_bytes(b"".join(lines[n] for n in chosen))
    whole = next((k for k, n in enumerate(chosen) if k != n), kept)  # a true beginning of the journal
    if whole >= kept - 1:  # … with at most a last line that does not fit, as after a write cut short
        assert read(path) == records[:whole]
    else:
        with pytest.raises(StoreError, match=f"line {whole + 1} is damaged .*; restore the file"):
            read(path)


def test_a_journal_of_an_earlier_version_is_read_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    bodies = [json.dumps(record).encode() for record in RECORDS]
    lines = [b"%08x %s\n" % (zlib.crc32(body), body) for body in bodies]
    path.write_bytes(b"".join([*lines, lines[-1]]))  # its last line doubled
    assert read(path) == RECORDS
    write(path, [{"kind": "after"}, {"kind": "more"}])
    assert read(path) == [*RECORDS, {"kind": "after"}, {"kind": "more"}]
    content = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*content[:-2], content[-1], lines[0]]))
    with pytest.raises(StoreError, match="line 5 is damaged"):
        read(path)


def test_a_journal_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    with pytest.raises(StoreError, match="journal: cannot be read"):
        read(tmp_path / "journal")


def test_a_second_process_is_refused_and_a_dead_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    hold = (
        "import sys, time; from pathlib import Path; from workbench.storage.journal import Journal\n"
        "s = Journal(Path(sys.argv[1])); s.append([{'kind': 'a'}]); print('open', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", hold, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    with pytest.raises(StoreError, match="another process"):
        Journal(path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    journal = Journal(path)
    assert journal.records == [{"kind": "a"}]
    journal.close()


def test_a_full_disk_leaves_the_journal_whole(tmp_path: Path) -> None:
    """A limit on the size of files gives the same error path as a full disk, without needing to mount one."""
    path = tmp_path / "journal"
    write(path, RECORDS)
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from workbench.storage.journal import Journal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); path = Path(sys.argv[1])\n"
        "room = path.stat().st_size + 20\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))\n"
        "Journal(path).append([{'kind': 'large', 'text': 'x' * 1000}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert "StoreError" in done.stderr
    assert "free the disk and run the study again" in done.stderr
    assert read(path) == RECORDS


def test_killed_at_random_moments_nothing_committed_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    loop = (
        "import sys; from pathlib import Path; from workbench.storage.journal import Journal\n"
        "s = Journal(Path(sys.argv[1])); n = len(s.records)\n"
        "while True: s.append([{'kind': 'n', 'n': n}]); n += 1; print(n, flush=True)"
    )
    known = 0
    for attempt in range(4):
        process = subprocess.Popen([sys.executable, "-c", loop, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.01 * (attempt + 1))
        process.kill()
        told = [int(line) for line in process.stdout.read().split()]
        process.wait()
        process.stdout.close()
        known = max([known, *told])
        numbers = [record["n"] for record in read(path)]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= known
