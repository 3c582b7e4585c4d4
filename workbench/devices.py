"""The devices that jax computes on, how many cores train, and where jax keeps what it has compiled."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import jax

__all__ = ["IN_FLIGHT", "configure", "cores", "machine"]

#: Programs that jax runs at a time on one device of a CPU: the cores beyond need another device.
IN_FLIGHT = 32
_FORCED = re.compile(r"--xla_force_host_platform_device_count=(\d+)")


def cores() -> int:
    """How many cores train: what XLA_FLAGS or WORKBENCH_CORES say, else those that this process may use."""
    forced = _FORCED.search(os.environ.get("XLA_FLAGS", ""))
    told = forced.group(1) if forced else os.environ.get("WORKBENCH_CORES", "")
    return max(1, int(told)) if told else len(os.sched_getaffinity(0))


def machine() -> tuple[str, int]:
    """The kind of device that trains, as jax names it, and how many of them: of a CPU, its cores."""
    kind = jax.default_backend()
    return kind, cores() if kind == "cpu" else jax.local_device_count()


def configure(cache: Path | None) -> None:
    """Set jax up before its first use.

    A device for every IN_FLIGHT cores of a CPU, each of which a thread of the engine keeps busy; compiled
    programs are kept in `cache`. What XLA_FLAGS and JAX_COMPILATION_CACHE_DIR say goes first.
    """
    if not _FORCED.search(os.environ.get("XLA_FLAGS", "")):
        with suppress(RuntimeError):  # jax is in use already, from Python: it keeps the devices that it has
            jax.config.update("jax_num_cpu_devices", -(-cores() // IN_FLIGHT))
    # A lane is computed by the thread that asks for it, and by no other.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if cache is not None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache))
        # Else the folder's own name is part of every key, and a home that was moved would compile again.
        jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
