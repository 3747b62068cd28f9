"""mirror: a container registry node, a pull-through cache and a store of its own. See mirror/README.md."""

from importlib.metadata import version

__version__ = version("mirror")
