"""A layer of 256 MiB that is there: read by four clients over and over, read once by one."""

from typing import Final

from bench.content import MIB, Image
from bench.load import readers
from bench.measure import Load
from bench.peers import NAME, Peer
from bench.walk import Pace, Walk, Work, main
from bench.warm import warm

CLIENTS: Final = 4


def _cases(image: Image, _: Pace) -> dict[str, Work]:
    path = f"/v2/{NAME}/blobs/{image.blobs[1].digest}"

    def read(clients: int) -> Work:
        def work(peer: Peer, _: int) -> Load:
            return readers(peer.port, path, clients)

        return work

    return {"GET, 1 client": read(1), f"GET, {CLIENTS} clients": read(CLIENTS)}


WALK: Final = Walk("warm 256 MiB blob", warm((256 * MIB,), _cases))

if __name__ == "__main__":
    main(WALK)
