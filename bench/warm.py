"""What the warm walks share: every peer holds the same image, and the same path is asked of each."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench.content import Image, make_image
from bench.load import heads, wrk
from bench.measure import Load
from bench.peers import NAME, Peer, running, running_cache
from bench.walk import Bench, Pace, Work


def warm(layers: tuple[int, ...], cases: Callable[[Image, Pace], dict[str, Work]]) -> "SetUp":
    """Return a set-up: an image of these layers at every peer, and the cases over it."""

    @contextmanager
    def set_up(root: Path, pace: Pace) -> Iterator[Bench]:
        content = root / "content"
        content.mkdir()
        image = make_image(content, layers)
        with running(root) as others, running_cache(root) as caches:
            peers = [*caches, *others]
            for peer in peers:
                peer.take(image)
            yield Bench(peers, cases(image, pace))

    return set_up


def get(path: str, connections: int, pace: Pace, header: str = "") -> Work:
    """GET a path below the repository with wrk, with one more header where one is given."""

    def work(peer: Peer, _: int) -> Load:
        return wrk(peer.port, f"/v2/{NAME}/{path}", connections, pace.seconds, header)

    return work


def head(path: str, connections: int, pace: Pace) -> Work:
    """HEAD a path below the repository."""

    def work(peer: Peer, _: int) -> Load:
        return heads(peer.port, f"/v2/{NAME}/{path}", connections, pace.seconds)

    return work


SetUp = Callable[[Path, Pace], AbstractContextManager[Bench]]
