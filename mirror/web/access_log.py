"""One line a request, when the operator wants it: who asked for what, and what was answered. Both lanes write it."""

from typing import Final

from mirror import telemetry

LAYERS: Final = "/layers/"  # what follows is a key to a layer
TARGET_CHARS_MAX: Final = 500


class AccessLog:
    """Writes a line a request, or nothing."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._log = telemetry.logger("web.access")

    def note(self, method: str, target: str, status: int, remote: str | None) -> None:
        if self.enabled:
            self._log.info("request", method=method, target=said(target), status=status, remote=remote)


def said(target: str) -> str:
    """Return what a log may say of a request's target: nothing that is a key, or that would be good once more."""
    path, question, query = target.partition("?")
    if path.startswith(LAYERS):
        return f"{LAYERS}..."
    if path == "/" and query:
        return f"/{question}..."  # a signed call
    return target[:TARGET_CHARS_MAX]
