"""When a repository's policy is run: once a day, each at a moment of its own, and a new policy soon.

Source: ECR guide, "Lifecycle policies": within 24 hours; ECR.md 2.3, "Evaluation" 6. The moment follows from the
repository alone, so that neither a restart nor another node's runs move it. Pure.
"""

from typing import Final
from zlib import crc32

from mirror.oci.names import Repository
from mirror.rules.lifecycle.evaluate import DAY_S

SETTLE_S: Final = 900.0  # time to take a policy back that was a mistake: what it deletes is gone


def moment_s(repository: Repository) -> int:
    """Return a repository's moment of the day: seconds after midnight UTC, spread evenly over the day."""
    return crc32(repository.key()) % DAY_S


def due_at(repository: Repository, put_at: float, evaluated_at: float | None) -> float:
    """Return from when on (unix seconds) a policy is to be run that was put and run last at these times.

    A policy not run since it was put is due SETTLE_S later; else it is the first moment of the repository's after its
    last run: a moment that a stopped node has missed is made up for once.
    """
    if evaluated_at is None:
        return put_at + SETTLE_S
    return evaluated_at + DAY_S - (evaluated_at - moment_s(repository)) % DAY_S


def is_due(repository: Repository, put_at: float, evaluated_at: float | None, now: float) -> bool:
    """Tell whether to run a policy at `now`; also one whose last run was by a clock that was ahead."""
    return now >= due_at(repository, put_at, evaluated_at) or (evaluated_at is not None and evaluated_at > now)
