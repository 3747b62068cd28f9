"""The node: builds every object, owns every task, decides the order of start and stop. With `cli` the only reader of
the environment.
"""

from mirror.node.commands import administer, reindex, restore, run
from mirror.node.node import Node

__all__ = ["Node", "administer", "reindex", "restore", "run"]
