"""Says in JSON on which device jax would train. Its own process, since jax keeps a GPU that it has seen."""

from __future__ import annotations

import json

import jax

if __name__ == "__main__":
    devices = jax.local_devices()
    print(
        json.dumps({"platform": devices[0].platform, "kind": devices[0].device_kind, "number": len(devices)})
    )
