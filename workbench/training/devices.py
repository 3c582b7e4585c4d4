"""The devices that jax computes on, how many cores train, and where jax keeps what it has compiled."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import jax

from workbench.core.cores import FORCED, cores
from workbench.core.errors import InputError
from workbench.core.provenance import processor

#: Programs that jax runs at a time on one device of a CPU: the cores beyond need another device.
IN_FLIGHT = 32


def machine() -> tuple[str, int]:
    """The kind of device that trains, as jax names it, and how many of them: of a CPU, its cores."""
    kind = jax.default_backend()
    return kind, cores() if kind == "cpu" else jax.local_device_count()


def arithmetic() -> str:
    """What computes, in words: of two that are called the same, lanes come out the same to the bit."""
    device = jax.devices()[0]
    return processor() if device.platform == "cpu" else str(device.device_kind)


def configure(cache: Path | None) -> None:
    """Set jax up before its first use.

    A device for every IN_FLIGHT cores of a CPU, each of which a thread of the engine keeps busy; compiled
    programs are kept in `cache`. What XLA_FLAGS and JAX_COMPILATION_CACHE_DIR say goes first. Raises
    InputError where jax cannot compute as its environment has it.
    """
    if not FORCED.search(os.environ.get("XLA_FLAGS", "")):
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
    _check()


def _check() -> None:
    """Jax finds out late, and by an assertion, that there is no device of the kind that was asked for."""
    if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
        raise InputError("JAX_DISABLE_JIT = 1: studies are trained by compiled programs alone; unset it")
    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:
        asked = jax.config.jax_platforms  # type: ignore[attr-defined]
        where = f"JAX_PLATFORMS = {asked}" if asked else f"XLA_FLAGS = {os.environ.get('XLA_FLAGS', '')}"
        said = f" ({str(error).splitlines()[0].partition(' (')[0]})" if str(error) else ""
        raise InputError(
            f"{where}: jax finds no such device on this machine{said}; unset it, or install what jax needs "
            "for the device (workbench[cuda], workbench[tpu])"
        ) from error
