"""A layer of 256 MiB that is there: read over and over by one client, and by four at once."""

from typing import Final

from bench.content import MIB, Image
from bench.load import repeated
from bench.measure import Load
from bench.peers import NAME, Peer
from bench.walk import Pace, Walk, Work, main
from bench.warm import warm

CLIENTS: Final = 4


def _cases(image: Image, pace: Pace) -> dict[str, Work]:
    path = f"/v2/{NAME}/blobs/{image.blobs[1].digest}"

    def read(clients: int) -> Work:
        def work(peer: Peer, _: int) -> Load:
            return repeated(peer.port, path, clients, pace.seconds)

        return work

    return {"GET, clients: 1": read(1), f"GET, clients: {CLIENTS}": read(CLIENTS)}


WALK: Final = Walk("warm 256 MiB blob", warm((256 * MIB,), _cases))

if __name__ == "__main__":
    main(WALK)
