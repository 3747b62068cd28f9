"""One line a request, when the operator wants it: who asked for what, and what was answered. Both lanes write it."""

from typing import Final

from mirror import telemetry

LAYERS: Final = "/layers/"  # what follows is a key to a layer; a query is cut by the log itself
TARGET_CHARS_MAX: Final = 500


class AccessLog:
    """Writes a line a request, or nothing."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._log = telemetry.logger("web.access")

    def note(self, method: str, target: str, status: int, remote: str | None) -> None:
        if self.enabled:
            if target.startswith(LAYERS):
                target = f"{LAYERS}..."
            self._log.info("request", method=method, target=target[:TARGET_CHARS_MAX], status=status, remote=remote)
