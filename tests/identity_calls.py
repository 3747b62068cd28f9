"""Calls of IAM and STS without a network: input read by the service model, output as XML that botocore reads."""

import secrets
from collections.abc import Mapping
from typing import Any

from botocore.parsers import create_parser

from mirror.aws.principals import Principal, root_of
from mirror.registry.identities import Identities, Passwords, Seals
from mirror.store.document_map import DocumentKey, DocumentMap
from mirror.web.aws import markup
from mirror.web.aws.call import Call
from mirror.web.aws.iam import Iam
from mirror.web.aws.models import Models
from mirror.web.aws.sts import Sts

ACCOUNT = "123456789012"
NOW = 1_800_000_000.0
MODELS = Models.load()
PARSER = create_parser("query")


class Documents(DocumentMap):
    """The store's documents in memory: the same map, written at once."""

    def __init__(self) -> None:
        super().__init__({})

    async def write(self, edits: Any) -> None:
        self.take_in({DocumentKey(edit.owner, edit.kind, edit.name): edit.body for edit in edits})


class Node:
    """The handlers over the identities of one node, called as the query protocol calls them."""

    def __init__(self) -> None:
        self.documents = Documents()
        self.identities = Identities(self.documents, Seals(secrets.token_bytes(32)), Passwords(2), ACCOUNT)
        self.iam, self.sts = Iam(self.identities, lambda: NOW), Sts(self.identities, lambda: NOW)
        self.handlers = {**self.iam.handlers(), **self.sts.handlers()}

    def made(self, operation: str, by: Principal | None, key_id: str, given: Mapping[str, Any]) -> Call:
        service = "sts" if ("sts", operation) in self.handlers else "iam"
        read = MODELS.find(service, operation).input.read(dict(given))
        return Call(
            service, operation, by or root_of(ACCOUNT), read, "r", "192.0.2.1", "test", True, "us-east-1", key_id
        )

    async def __call__(self, operation: str, by: Principal | None = None, key_id: str = "", **given: Any) -> Any:
        """Call an operation as `by`, root where nobody is named; return what an SDK would make of the answer."""
        call = self.made(operation, by, key_id, given)
        output = await self.handlers[call.service, operation](call)
        model = MODELS.find(call.service, operation).model
        body = markup.answer(model, MODELS.namespace(call.service), output, "r")
        parsed = PARSER.parse({"status_code": 200, "headers": {}, "body": body}, model.output_shape)
        return {name: value for name, value in parsed.items() if name != "ResponseMetadata"}

    def resource(self, operation: str, by: Principal | None = None, **given: Any) -> str:
        """Return what the call would be about."""
        call = self.made(operation, by, "", given)
        return (self.sts if call.service == "sts" else self.iam).resource_arn(call)
