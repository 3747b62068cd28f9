"""Failures that an operator can mend, said in one line each on stderr; anything else is a bug and keeps its trace."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from mirror.config import ConfigInvalid
from mirror.oci.errors import RegistryError
from mirror.store.environment import IndexDamaged
from mirror.store.files import StoreLocked

MENDABLE: Final = (OSError, ConfigInvalid, RegistryError, StoreLocked, IndexDamaged)


@contextmanager
def said_plainly() -> Iterator[None]:
    """Turn what an operator can mend into lines on stderr and exit code 1."""
    try:
        yield
    except BrokenPipeError:
        # Whoever read has seen enough. What Python still holds for them must not be tried again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (*MENDABLE, ExceptionGroup) as error:
        cause = _alone(error)
        if not isinstance(cause, MENDABLE):
            raise
        for line in _lines(cause):
            click.echo(f"mirror: {line}", err=True)
        sys.exit(1)


def _alone(error: Exception) -> Exception:
    """Return what a task group's wrapping holds, where it holds one thing."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _lines(error: Exception) -> list[str]:
    if isinstance(error, ConfigInvalid):
        return [str(fault) for fault in error.faults]
    if isinstance(error, OSError) and error.strerror:
        return [f"{error.filename}: {error.strerror}" if error.filename else error.strerror]
    return [str(error).replace("\n", " ") or type(error).__name__]
