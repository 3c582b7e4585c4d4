"""What a result was computed with: versions and hardware, as text that goes into every record."""

from __future__ import annotations

import getpass
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["environment", "user", "versions"]

PACKAGES = ("workbench", "jax", "jaxlib", "numpy", "optax", "optuna", "mlflow", "pandas", "scikit-learn")
#: Of these a trial's figures depend on the version.
NUMERIC = ("workbench", "jax", "jaxlib", "numpy", "optax")


def environment(devices: str) -> dict[str, str]:
    """Versions and hardware. `devices` says what the programs ran on, in the engine's words."""
    return {
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "hardware": f"{_processor()}, {len(os.sched_getaffinity(0))} cores; trained on {devices}",
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


def _processor() -> str:
    """The name that Linux gives the processor; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
