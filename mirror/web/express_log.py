"""The access log's line of the express lane. Only with the log on is any of this run: the lane pays nothing for it."""

import re
import time
from typing import Final

from mirror import telemetry
from mirror.web.access_log import Exchange, since_ms
from mirror.web.express import Express, FileAnswer, Wanted

_USER_AGENT: Final = re.compile(rb"\r\nuser-agent:[ \t]*([^\r]*)", re.IGNORECASE)
_END: Final = b"\r\n\r\n"


def answer_noted(express: Express, data: bytes, wanted: Wanted, remote: str | None) -> bytes | FileAnswer | None:
    """Answer as the lane does, and write the line of it. `data` is the request: none with an id comes here."""
    began_at = time.monotonic()
    answer = express.answer(wanted)
    if answer is None:
        return None
    user_agent = _USER_AGENT.search(data)
    express.access.note(
        Exchange(
            request_id=telemetry.new_request_id(),
            method="HEAD" if wanted.is_head else "GET",
            target=wanted.path.decode(),
            status=200,
            bytes=_size(answer),
            duration_ms=since_ms(began_at),
            remote=remote,
            user_agent=user_agent[1].decode("ascii").strip() if user_agent is not None else "",
            principal=wanted.target.principal,
            repository=wanted.target.repository,
        )
    )
    return answer


def _size(answer: bytes | FileAnswer) -> int:
    """Return how many bytes of a body there are."""
    return len(answer) - answer.index(_END) - len(_END) if isinstance(answer, bytes) else answer.size
