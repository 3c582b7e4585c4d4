"""What a record says of the machine: enough to tell processors apart that round differently."""

from __future__ import annotations

import pytest

from workbench.core.provenance import environment, named

MILAN = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC
flags\t\t: fpu sse2 avx avx2
"""
TURIN = MILAN.replace(": 25", ": 26").replace(": 1\n", ": 2\n").replace("avx2", "avx2 avx512f")
ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd\nCPU part\t: 0xd40\n"


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (MILAN, "AMD EPYC, family 25, model 1, AVX2"),
        (TURIN, "AMD EPYC, family 26, model 2, AVX-512"),
        (TURIN + "\n" + MILAN, "AMD EPYC, family 26, model 2, AVX-512"),
        ("model name: Some RISC\n", "Some RISC"),
        (ARM, ""),
        ("", ""),
    ],
)
def test_processors_of_one_name_are_told_apart(told: str, name: str) -> None:
    assert named(told) == name


def test_a_machine_always_has_a_name() -> None:
    processor, _, devices = environment("2 cpu devices")["hardware"].rpartition("; trained on ")
    assert devices == "2 cpu devices"
    assert processor.endswith(" cores")
    assert len(processor.rpartition(", ")[0]) > 2
