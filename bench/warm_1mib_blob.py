"""A layer of 1 MiB that is there."""

from typing import Final

from bench.content import MIB, Image
from bench.walk import Pace, Walk, Work, main
from bench.warm import get, warm

CONNECTIONS: Final = 16


def _cases(image: Image, pace: Pace) -> dict[str, Work]:
    return {"GET": get(f"blobs/{image.blobs[1].digest}", CONNECTIONS, pace)}


WALK: Final = Walk("warm 1 MiB blob", warm((MIB,), _cases))

if __name__ == "__main__":
    main(WALK)
