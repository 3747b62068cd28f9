"""Answers of the AWS Query protocol: XML, by the shapes of the model.

Source: smithy.io, "AWS Query protocol", response serialization; IAM API reference for the URL-encoding of policy
documents. Pure.
"""

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

CONTENT_TYPE: Final = "text/xml"
POLICY: Final = "policyDocumentType"  # IAM answers policies URL-encoded (RFC 3986), and SDKs undo it by this name
_NO_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2


def answer(operation: Any, namespace: str, output: Mapping[str, Any], request_id: str) -> bytes:
    """Write the answer of `operation`, botocore's model of it."""
    name = operation.name
    result = ""
    if operation.output_shape is not None:
        wrapper = operation.output_shape.serialization.get("resultWrapper", f"{name}Result")
        result = _element(wrapper, _structure(operation.output_shape, output))
    metadata = _element("ResponseMetadata", _element("RequestId", escape(request_id)))
    return f"<{name}Response xmlns={quoteattr(namespace)}>{result}{metadata}</{name}Response>".encode()


def refusal(namespace: str, status: int, code: str, message: str, request_id: str) -> bytes:
    """Write a refusal: whose fault it is, a code and a text."""
    kind = "Sender" if status < 500 else "Receiver"
    error = _element("Type", kind) + _element("Code", _text(code)) + _element("Message", _text(message))
    body = _element("Error", error) + _element("RequestId", escape(request_id))
    return f"<ErrorResponse xmlns={quoteattr(namespace)}>{body}</ErrorResponse>".encode()


def _structure(shape: Any, values: Mapping[str, Any]) -> str:
    return "".join(
        _element(name, _content(member, values[name]))
        for name, member in shape.members.items()
        if values.get(name) is not None
    )


def _content(shape: Any, value: Any) -> str:
    match shape.type_name:
        case "structure":
            return _structure(shape, value)
        case "list":
            return "".join(_element("member", _content(shape.member, member)) for member in value)
        case "map":
            return "".join(
                _element("entry", _element("key", _text(key)) + _element("value", _content(shape.value, member)))
                for key, member in value.items()
            )
    return _text(_scalar(shape, value))


def _scalar(shape: Any, value: Any) -> str:
    match shape.type_name:
        case "boolean":
            return "true" if value else "false"
        case "timestamp":
            return datetime.fromtimestamp(int(value), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case "blob":
            return base64.b64encode(value).decode()
    return quote(value, safe="") if shape.name == POLICY else str(value)


def _element(name: str, content: str) -> str:
    return f"<{name}>{content}</{name}>"


def _text(text: str) -> str:
    """Escape text; what XML cannot hold becomes the replacement character, and a CR stays one."""
    return escape(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", text), {"\r": "&#13;"})
