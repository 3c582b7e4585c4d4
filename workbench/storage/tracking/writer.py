"""Which of the two writers a store gets, and what can be done to it without a tracker."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

from workbench.core.addresses import is_server
from workbench.storage.tracking import bulk, client
from workbench.storage.tracking.process import ENVIRONMENT


def open_writer(uri: str, artifacts: str) -> tuple[ModuleType, Any]:
    """`bulk` where it knows the tables, else `client`, and the store that it has opened.

    artifacts  where new experiments keep theirs, unless the store is a server
    """
    store = None if is_server(uri) else bulk.connect(uri, artifacts)
    if store is not None:
        return bulk, store
    return client, client.connect(uri, artifacts)


def reap(uri: str, study: str | None = None) -> int:
    """Set runs that a killed process left RUNNING to KILLED: those of one study, or of all. Returns how many.

    Call it only when nobody works on them. Opening a tracker does not need it: that resumes the parent, and
    closing it ends whatever child was left.
    """
    os.environ.update({key: value for key, value in ENVIRONMENT.items() if key != "PYTHONWARNINGS"})
    writer, store = open_writer(uri, "")
    count: int = writer.reap(store, study)
    return count
