"""`python -m workbench`: the same as the `workbench` command."""

from __future__ import annotations

from workbench.cli.main import command

__all__: list[str] = []

if __name__ == "__main__":
    command()
