"""The `mirror` command. The only printing place, and with `node` the only reader of the environment."""

from mirror.cli.commands import main

__all__ = ["main"]
