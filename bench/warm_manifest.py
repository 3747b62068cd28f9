"""The hottest requests of an edge node: a manifest that is there, by tag and by digest, GET and HEAD."""

from typing import Final

from bench.content import Image
from bench.walk import Pace, Walk, Work, main
from bench.warm import get, head, warm

CONNECTIONS: Final = 32


def _cases(image: Image, pace: Pace) -> dict[str, Work]:
    tag, digest = "manifests/latest", f"manifests/{image.digest}"
    return {
        "HEAD by tag": head(tag, CONNECTIONS, pace),
        "HEAD by digest": head(digest, CONNECTIONS, pace),
        "GET by tag": get(tag, CONNECTIONS, pace),
        "GET by digest": get(digest, CONNECTIONS, pace),
        # A condition that never holds: the answer is the same, but mirror gives it by its normal way.
        "GET by digest, with If-None-Match": get(digest, CONNECTIONS, pace, 'If-None-Match: "other"'),
    }


WALK: Final = Walk("warm manifest", warm((), _cases))

if __name__ == "__main__":
    main(WALK)
