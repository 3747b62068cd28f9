"""A config blob of 4 KiB that is there, GET and HEAD."""

from typing import Final

from bench.content import Image
from bench.walk import Pace, Walk, Work, main
from bench.warm import get, head, warm

CONNECTIONS: Final = 32


def _cases(image: Image, pace: Pace) -> dict[str, Work]:
    path = f"blobs/{image.blobs[0].digest}"
    return {"HEAD": head(path, CONNECTIONS, pace), "GET": get(path, CONNECTIONS, pace)}


WALK: Final = Walk("warm 4 KiB blob", warm((), _cases))

if __name__ == "__main__":
    main(WALK)
