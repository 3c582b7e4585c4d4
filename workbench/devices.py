"""The devices that jax computes on, and where it keeps what it has compiled."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import jax

__all__ = ["configure"]


def configure(cache: Path | None) -> None:
    """Set jax up before its first use.

    A device for every core of a CPU, compiled programs kept in `cache`. What XLA_FLAGS and
    JAX_COMPILATION_CACHE_DIR say goes first.
    """
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with suppress(RuntimeError):  # jax is in use already, from Python: it keeps the devices that it has
            jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    if cache is not None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache))
        # Else the folder's own name is part of every key, and a home that was moved would compile again.
        jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
