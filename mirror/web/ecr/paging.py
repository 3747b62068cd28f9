"""Pages of lists: a token is a cursor in JSON, bound to its operation; clients see text that means nothing to them.

Source: ECR.md 1.3, "Pagination". A cursor is not a secret and not proof of anything: what it names is looked up as any
argument is, in the repository that the call was allowed.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import orjson

from mirror.aws.errors import InvalidParameter, constraint
from mirror.web.aws.call import Call

TOKEN_CHARS_MAX: Final = 4_096  # a cursor is a few names

T = TypeVar("T")


def read_token(call: Call) -> list[Any] | None:
    """Return the cursor of the call's `nextToken`; None for the first page. Raises InvalidParameter."""
    token = call.input.get("nextToken")
    if token is None:
        return None
    if len(token) > TOKEN_CHARS_MAX:
        raise invalid_token()
    try:
        found = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError):
        raise invalid_token() from None
    if not isinstance(found, list) or found[:2] != [call.service, call.operation]:
        raise invalid_token()
    return found[2:]


def make_token(call: Call, cursor: Sequence[Any]) -> str:
    """Write the token of the page behind `cursor`, whose parts are texts and numbers."""
    token = base64.urlsafe_b64encode(orjson.dumps([call.service, call.operation, *cursor]))
    return token.decode().rstrip("=")


def page_size(call: Call, default: int = 100) -> int:
    """Return how many entries a page has; the model has checked the maximum."""
    return int(call.input.get("maxResults", default))


def read_number(cursor: list[Any] | None) -> int:
    """Return the one number that a cursor is, 0 of the first page. Raises InvalidParameter."""
    if cursor is None:
        return 0
    if len(cursor) != 1 or type(cursor[0]) is not int or cursor[0] < 0:
        raise invalid_token()
    return int(cursor[0])


def read_text(cursor: list[Any] | None) -> str:
    """Return the one text that a cursor is, "" of the first page. Raises InvalidParameter."""
    if cursor is None:
        return ""
    if len(cursor) != 1 or not isinstance(cursor[0], str):
        raise invalid_token()
    return cursor[0]


def cut_page(call: Call, found: Iterable[T], key: Callable[[T], str]) -> tuple[list[T], str | None]:
    """Cut the page that a call asks for out of a whole list; return it with the token of the next one.

    The list is short and sorted by `key`, which names each entry; the token says which one came last.
    """
    cursor, limit = read_token(call), page_size(call)
    if cursor is None:
        behind = list(found)
    elif len(cursor) == 1 and isinstance(cursor[0], str):
        behind = [one for one in found if key(one) > cursor[0]]
    else:
        raise invalid_token()
    return behind[:limit], make_token(call, [key(behind[limit - 1])]) if len(behind) > limit else None


def invalid_token() -> InvalidParameter:
    """Return the refusal of a token that is none of ours, or not of this operation."""
    return constraint("nextToken", "Invalid token")
