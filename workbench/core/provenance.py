"""What a result was computed with: versions and hardware, as text that goes into every record."""

from __future__ import annotations

import getpass
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from workbench.core.cores import cores

PACKAGES = ("workbench", "jax", "jaxlib", "numpy", "optax", "optuna", "mlflow", "pandas", "scikit-learn")
#: Of these a trial's figures depend on the version.
NUMERIC = ("workbench", "jax", "jaxlib", "numpy", "optax")


def environment(devices: str) -> dict[str, str]:
    """Versions and hardware. `devices` says what the programs ran on, in the engine's words."""
    return {
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "hardware": f"{processor()}, {cores()} cores; trained on {devices}",
    }


def versions() -> dict[str, str]:
    """Of the packages that decide how a trial comes out."""
    return {package: _version(package) for package in NUMERIC}


def user() -> str:
    """Who runs this; in a container the user may have no name."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """What Linux says of the processor; elsewhere what Python knows."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    return named(told) or platform.machine()


def named(cpuinfo: str) -> str:
    """The name of the first processor in /proc/cpuinfo, its family, model and widest vectors; "" if nameless.

    Clouds sell processors of several generations, which round differently, under one name.
    """
    pairs = (line.partition(":") for line in cpuinfo.partition("\n\n")[0].splitlines())
    fields = {key.strip(): value.strip() for key, _, value in pairs}
    if "model name" not in fields:
        return ""
    which = [
        f"{word} {fields[key]}"
        for word, key in (("family", "cpu family"), ("model", "model"))
        if key in fields
    ]
    flags = fields.get("flags", "").split()
    widest = [name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags][:1]
    return ", ".join([fields["model name"], *which, *widest])
