"""The front of the AWS APIs: one address, `/`, and what a request must look like to be for which of them.

Source: ECR.md 3.1: JSON 1.1 names its operation in X-Amz-Target; the Query APIs of IAM and STS by a form or, presigned,
in the URL.
"""

from typing import Final

from aiohttp import web

from mirror.oci.errors import NotFound
from mirror.web.aws.json11 import JsonApi
from mirror.web.aws.query import QueryApi

FORM: Final = "application/x-www-form-urlencoded"


class AwsFront:
    """Answers `/`."""

    def __init__(self, json: JsonApi, query: QueryApi) -> None:
        self._json = json
        self._query = query

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Hand a request to the API that it is for. Raises NotFound for what is for none."""
        if request.method == "POST" and "X-Amz-Target" in request.headers:
            return await self._json.handle(request)
        is_form = request.method == "POST" and request.content_type == FORM
        if is_form or "Action=" in request.raw_path.partition("?")[2]:
            return await self._query.handle(request)
        raise NotFound("here are the AWS APIs, by POST, and the registry is at /v2/")
