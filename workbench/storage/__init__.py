"""What outlives a run: in MLflow (`tracking`). May import core and evaluation."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Names of the file workbench/storage.py, which this folder hides until it moves in here."""
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    if name.startswith("__"):
        raise AttributeError(name)
    spec = spec_from_file_location("workbench.storage_file", Path(__file__).parent.with_suffix(".py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    globals().update({key: value for key, value in vars(module).items() if not key.startswith("__")})
    return globals()[name]
