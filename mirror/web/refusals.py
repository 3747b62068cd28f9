"""Saying no: a RegistryError becomes an answer with an OCI error body. Nothing else in `web/` does this.

Source: OCI distribution-spec v1.1, "Error Codes".
"""

from typing import Final

import orjson
from aiohttp import web

from mirror.oci.errors import RegistryError
from mirror.web.challenges import NotAuthorized
from mirror.web.heads import last_headers

VALUE_CHARS_MAX: Final = 4_000  # a message may quote what a client sent


def refuse(error: RegistryError) -> web.Response:
    """Write the answer that tells a client why not."""
    if isinstance(error, NotAuthorized):
        return _not_authorized(error)
    entry = {"code": error.code, "message": error.message[:VALUE_CHARS_MAX]}
    if error.detail is not None:
        entry["detail"] = error.detail  # type: ignore[assignment]
    headers = {
        "Content-Type": "application/json",
        "Docker-Distribution-Api-Version": "registry/2.0",
        "X-Content-Type-Options": "nosniff",
        **error.headers,
    }
    response = web.Response(body=orjson.dumps({"errors": [entry]}), status=error.status, headers=headers)
    response.headers.extend(last_headers())
    return response


def _not_authorized(error: NotAuthorized) -> web.Response:
    headers = {
        "Docker-Distribution-Api-Version": "registry/2.0",
        **error.headers,
        "Content-Type": "text/plain; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
    }
    response = web.Response(body=error.text, status=error.status, headers=headers)
    response.headers.extend(last_headers())
    return response
