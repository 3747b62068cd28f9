"""What the matrix asks of every container client. Each adapter drives one real program."""

from typing import Protocol


class Unavailable(Exception):
    """This client is missing, or cannot run on this machine; the message is the reason of the skip."""


class Client(Protocol):
    """A container client with an image store of its own. Tags are the tests', names are repositories."""

    def pull(self, name: str, tag: str) -> set[str]:
        """Pull `docker.io/library/<name>:<tag>` with the node as the mirror; return the digests that are now held."""

    def push(self, name: str, own: str) -> None:
        """Push the image `pull` got under the tag `latest` to the node as `<own>:v1`."""

    def pull_own(self, own: str) -> set[str]:
        """Pull `<own>:v1` from the node; return the digests that are now held."""

    def forget(self) -> None:
        """Remove every image from the client's own store."""

    def close(self) -> None:
        """Stop what was started for this client."""
