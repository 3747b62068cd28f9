"""Clients of all kinds at once: what they push, pull and delete, and what must be there whatever the others do.

async with reached(socket) as administrator, aiohttp.ClientSession() as session:
    soak = Soak(Client(session, url), administrator, upstream_images, grace_s=2.0)
    await soak.prepare()
    await soak.run(KINDS, seconds=60.0)
    await soak.check()
    assert not soak.faults

Each kind of work is a function of the soak. `done` counts what was done, by kind; `faults` says what was wrong. A 404
is a fault unless the image was deleted, or its policy may have let it go meanwhile. Used by a test and by
bench/soak.py, which calls it by another name: hence the relative imports.
"""

from .client import Client, Image, make_image
from .kinds import HOT, KINDS
from .soak import Kind, Soak

__all__ = ["HOT", "KINDS", "Client", "Image", "Kind", "Soak", "make_image"]
