"""Signatures: those that clients made are right, and all others are refused, each in AWS's words."""

import hashlib
from email.utils import formatdate
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from signing import presigned, signed

from mirror.aws.errors import IncompleteSignature, InvalidSignature, MissingAuthenticationToken, UnrecognizedClient
from mirror.oci.errors import QueryInvalid, RegistryError
from mirror.web.aws.claim import check_scope, iso, read_authorization
from mirror.web.aws.sigv4 import Signed, verify

EMPTY = hashlib.sha256(b"{}").hexdigest()
PRIVATE, PUBLIC = "AmazonEC2ContainerRegistry_V20150921", "SpencerFrontendService"
NOW = 1_795_419_386.0  # TIME
TIME = "20261123T073626Z"
CREDENTIAL = "AWS4-HMAC-SHA256 Credential=A/20261123/us-east-1/ecr/aws4_request"


def captured(time: str, port: int, service: str, target: str, signature: str) -> CIMultiDict[str]:
    """A request of aws-cli 1.46.3 as it came (ECR.md 3.1)."""
    return CIMultiDict(
        {
            "Host": f"127.0.0.1:{port}",
            "Accept-Encoding": "identity",
            "X-Amz-Target": target,
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Date": time,
            "Authorization": f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{time[:8]}/us-east-1/{service}/aws4_request, "
            f"SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={signature}",
            "amz-sdk-invocation-id": "ae1b7d53-9a35-4b36-a3f8-6a3c22f3c4a5",
            "amz-sdk-request": "attempt=1",
            "Content-Length": "2",
        }
    )


VECTORS = [
    captured(
        "20261123T073626Z",
        15801,
        "ecr",
        f"{PRIVATE}.GetAuthorizationToken",
        "51897f7de64c8c8cf7318e1de529bc02db9dfba2898f210f6eb18024748fb378",
    ),
    captured(
        "20261123T073628Z",
        15801,
        "ecr",
        f"{PRIVATE}.DescribeRepositories",
        "5b0897735d57e77076c66d4324db950d1caa200b1f14344246e8809531e8d5f5",
    ),
    captured(
        "20261123T073627Z",
        15802,
        "ecr-public",
        f"{PUBLIC}.GetAuthorizationToken",
        "5365184a096f82a8e6decd6c6ab8558d58a5700bd3759608d51ebe53479210eb",
    ),
]


def check(
    headers: CIMultiDict[str],
    *,
    query: str = "",
    digest: str = EMPTY,
    secret: str | None = "secret",
    now: float = NOW,
    method: str = "POST",
) -> None:
    claim = read_authorization(headers, query)
    verify(claim, Signed(method, "/", query, headers, digest), secret, now)


@pytest.mark.parametrize("headers", VECTORS, ids=["token", "repositories", "public"])
def test_captured_requests_of_the_aws_cli_are_right(headers: CIMultiDict[str]) -> None:
    """ECR.md 3.1, "Captured request" and the test vectors beside it."""
    check(headers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Host", "127.0.0.1:15802"),
        ("Host", "127.0.0.1"),
        ("X-Amz-Target", f"{PRIVATE}.DeleteRepository"),
        ("Content-Type", "text/plain"),
        ("X-Amz-Date", "20261123T073627Z"),
    ],
)
def test_a_signed_header_that_was_changed_is_refused(name: str, value: str) -> None:
    """ECR.md 5, item 5: what SignedHeaders lists counts, Host with its port as received."""
    headers = VECTORS[0].copy()
    headers[name] = value
    with pytest.raises(InvalidSignature, match=r"does not match the signature you provided\. Check your AWS Secret"):
        check(headers)


def test_a_header_that_is_not_signed_may_change() -> None:
    """ECR.md 5, item 5: botocore leaves User-Agent and amz-sdk-* unsigned."""
    headers = VECTORS[0].copy()
    headers["amz-sdk-request"] = "attempt=2"
    headers["User-Agent"] = "another"
    check(headers)


def test_another_body_or_secret_or_method_is_refused() -> None:
    """AWS General Reference: the signature is over the body's digest and the method."""
    for change in ({"digest": hashlib.sha256(b"").hexdigest()}, {"secret": "Secret"}, {"method": "PUT"}):
        with pytest.raises(InvalidSignature):
            check(VECTORS[0], **change)  # type: ignore[arg-type]


def test_a_key_that_nobody_has_is_refused_whatever_its_signature() -> None:
    """RELIABILITY A23: the right signature of a key without a secret is no proof of anything."""
    for secret in (None, ""):
        with pytest.raises(UnrecognizedClient, match=r"^The security token included in the request is invalid\.$"):
            check(VECTORS[0], secret=secret)


@pytest.mark.parametrize(
    ("authorization", "error", "said"),
    [
        (None, MissingAuthenticationToken, "Missing Authentication Token"),
        ("", IncompleteSignature, "Unsupported AWS 'algorithm': ''"),
        ("Basic QVdTOmFiYw==", IncompleteSignature, "Unsupported AWS 'algorithm': 'Basic'"),
        ("AWS4-ECDSA-P256-SHA256 Credential=a/b/c/d/aws4_request", IncompleteSignature, "Unsupported AWS 'algorithm'"),
        ("AWS4-HMAC-SHA256", IncompleteSignature, "missing equal-sign"),
        ("AWS4-HMAC-SHA256 nothing", IncompleteSignature, "missing equal-sign"),
        ("AWS4-HMAC-SHA256 Signature=a, Signature=b", IncompleteSignature, "Duplicate parameter"),
        ("AWS4-HMAC-SHA256 Signature=a", IncompleteSignature, "requires 'Credential' parameter. Authorization header"),
        ("AWS4-HMAC-SHA256 Credential=A, SignedHeaders=host, Signature=a", IncompleteSignature, "exactly 5 slash"),
        (
            "AWS4-HMAC-SHA256 Credential=A/20261123/us-east-1/ecr/aws5, SignedHeaders=host, Signature=a",
            InvalidSignature,
            "valid terminator: 'aws4_request', not 'aws5'",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=A/20261122/us-east-1/ecr/aws4_request, SignedHeaders=host, Signature=a",
            InvalidSignature,
            "'20261122' != '20261123', from '20261123T073626Z'",
        ),
        (
            f"{CREDENTIAL}, SignedHeaders=x-amz-date, Signature=a",
            InvalidSignature,
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        ),
        (
            f"{CREDENTIAL},SignedHeaders=host;x-amz-date,Signature=a",
            InvalidSignature,
            "'x-amz-target' must be a 'SignedHeader'",
        ),
        (
            f"{CREDENTIAL}, SignedHeaders=host;x-amz-target, Signature=a",
            InvalidSignature,
            "'x-amz-date' must be a 'SignedHeader'",
        ),
        (
            f"{CREDENTIAL}, SignedHeaders=host;host;x-amz-date;x-amz-target, Signature=a",
            IncompleteSignature,
            "twice",
        ),
        (
            f"{CREDENTIAL}, SignedHeaders=host;x-amz-date;x-amz-target, Signature=\udcff\u0663",
            InvalidSignature,
            "does not match",
        ),
    ],
)
def test_a_broken_authorization_is_refused_in_the_words_of_aws(
    authorization: str | None, error: type[RegistryError], said: str
) -> None:
    """AWS General Reference, "Troubleshoot Signature Version 4"; RELIABILITY A23 and A47."""
    headers = VECTORS[0].copy()
    del headers["Authorization"]
    if authorization is not None:
        headers["Authorization"] = authorization
    with pytest.raises(error) as raised:
        check(headers)
    assert said in raised.value.message


@pytest.mark.parametrize(
    "date", ["2026", "20261323T073626Z", "2026-11-23T07:36:26Z", "Mon, 99 Foo 2026", "x" * 5000, ""]
)
def test_a_time_that_is_none_is_refused(date: str) -> None:
    """AWS General Reference: X-Amz-Date is ISO 8601's basic format."""
    headers = VECTORS[0].copy()
    headers["X-Amz-Date"] = date
    with pytest.raises(IncompleteSignature, match="ISO-8601 'basic format'"):
        check(headers)


def test_a_request_without_any_time_is_refused() -> None:
    """ECR.md 3.1: insist on x-amz-date or date."""
    headers = VECTORS[0].copy()
    del headers["X-Amz-Date"]
    with pytest.raises(IncompleteSignature, match="existence of either a 'X-Amz-Date' or a 'Date' header"):
        check(headers)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (NOW + 299, ""),
        (NOW - 299, ""),
        (
            NOW + 301,
            "Signature expired: 20261123T073626Z is now earlier than 20261123T073627Z (20261123T074127Z - 5 min.)",
        ),
        (
            NOW - 301,
            f"Signature not yet current: {TIME} is still later than 20261123T073625Z (20261123T073125Z + 5 min.)",
        ),
    ],
)
def test_clocks_may_differ_by_five_minutes(now: float, said: str) -> None:
    """ECR.md 3.1, "clock skew"; AWS tells both clocks."""
    if not said:
        check(VECTORS[0], now=now)
        return
    with pytest.raises(InvalidSignature) as raised:
        check(VECTORS[0], now=now)
    assert raised.value.message == said


def test_a_scope_is_of_our_service_and_a_region_of_ours() -> None:
    """ECR.md 3.1: the region and the service are those of the credential scope."""
    claim = read_authorization(VECTORS[0])
    check_scope(claim, "ecr", ("us-east-1", "eu-central-1"))
    check_scope(claim, "ecr", None)
    with pytest.raises(InvalidSignature, match=r"^Credential should be scoped to a valid region\.$"):
        check_scope(claim, "ecr", ("eu-central-1",))
    with pytest.raises(InvalidSignature, match=r"^Credential should be scoped to correct service: 'ecr-public'\.$"):
        check_scope(claim, "ecr-public", ("us-east-1",))


def test_a_session_token_must_be_signed() -> None:
    """ECR.md 3.1: with STS credentials X-Amz-Security-Token is added and signed."""
    url = "http://node:5000/"
    headers = CIMultiDict(signed("POST", url, b"{}", "ecr", "us-east-1", "ASIA", "s", "the-token", at=NOW))
    headers["Host"] = "node:5000"
    assert read_authorization(headers).token == "the-token"
    check(headers, secret="s")
    added = VECTORS[0].copy()
    added["X-Amz-Security-Token"] = "another's"
    with pytest.raises(InvalidSignature, match="'x-amz-security-token' must be a 'SignedHeader'"):
        check(added)


def test_an_unsigned_payload_is_no_way_around_the_body() -> None:
    """The digest is the body's own, never one that X-Amz-Content-SHA256 names."""
    headers = CIMultiDict(
        signed(
            "POST",
            "http://node/",
            b"{}",
            "ecr",
            "us-east-1",
            "A",
            "s",
            headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"},
            at=NOW,
        )
    )
    headers["Host"] = "node"
    with pytest.raises(InvalidSignature, match="does not match"):
        check(headers, secret="s")


def test_a_date_header_stands_for_the_time_where_it_is_signed() -> None:
    """ECR.md 3.1: host and x-amz-date (or date)."""
    headers = CIMultiDict({"Host": "node", "Date": formatdate(NOW, usegmt=True)})
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential=A/{iso(NOW)[:8]}/r/ecr/aws4_request, SignedHeaders=date;host, Signature=0"
    )
    claim = read_authorization(headers)
    assert (claim.at, claim.time) == (NOW, "20261123T073626Z")
    with pytest.raises(InvalidSignature, match="does not match"):
        check(headers)


WORD = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=12)
ASCII = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)


@given(
    method=st.sampled_from(["GET", "POST"]),
    query=st.lists(st.tuples(WORD, WORD), max_size=5),
    body=st.binary(max_size=40),
    extra=st.dictionaries(st.from_regex(r"x-[a-z]{1,8}", fullmatch=True), ASCII, max_size=4),
    secret=st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()),
    token=st.none() | st.from_regex(r"[A-Za-z0-9+/=]{1,40}", fullmatch=True),
    region=st.from_regex(r"[a-z]{2}-[a-z]{4,6}-[1-9]", fullmatch=True),
)
def test_what_botocore_signs_is_right_and_one_more_byte_is_wrong(
    method: str,
    query: list[tuple[str, str]],
    body: bytes,
    extra: dict[str, str],
    secret: str,
    token: str | None,
    region: str,
) -> None:
    """AWS General Reference, "Create a signed AWS API request": any method, query, body, headers, token and region."""
    text = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)
    url = "http://node.example:5000/" + (f"?{text}" if text else "")
    headers = CIMultiDict(signed(method, url, body, "sts", region, "AKID", secret, token, extra, at=NOW))
    headers["Host"] = "node.example:5000"
    digest = hashlib.sha256(body).hexdigest()
    check(headers, query=text, digest=digest, secret=secret, method=method)
    more = hashlib.sha256(body + b"x").hexdigest()
    with pytest.raises(InvalidSignature):
        check(headers, query=text, digest=more, secret=secret, method=method)
    with pytest.raises(InvalidSignature):
        check(headers, query=text + "&more=1", digest=digest, secret=secret, method=method)


def presigned_query(token: str | None = None) -> str:
    url = "http://node/?Action=GetCallerIdentity&Version=2011-06-15"
    return urlsplit(presigned(url, "sts", "us-east-1", "AKID", "s", token=token)).query


@pytest.mark.parametrize("token", [None, "to/ken+=="])
def test_a_presigned_url_is_good_until_it_expires(token: str | None) -> None:
    """AWS General Reference, "Create a signed AWS API request", query parameters; X-Amz-Expires is 60 here."""
    query = presigned_query(token)
    headers = CIMultiDict({"Host": "node"})
    claim = read_authorization(headers, query)
    assert (claim.key_id, claim.service, claim.token, claim.valid_s) == ("AKID", "sts", token or "", 60)
    empty = hashlib.sha256(b"").hexdigest()
    check(headers, query=query, digest=empty, secret="s", method="GET", now=claim.at + 59)
    for change in ({"now": claim.at + 61}, {"secret": "t"}, {"digest": EMPTY}, {"query": query + "&Action=Other"}):
        arguments = {"query": query, "digest": empty, "secret": "s", "method": "GET", "now": claim.at, **change}
        with pytest.raises(InvalidSignature):
            check(headers, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256", IncompleteSignature),
        ("X-Amz-Algorithm=other", IncompleteSignature),
        ("&".join(["a=b"] * 100), QueryInvalid),
        ("Action=GetCallerIdentity", MissingAuthenticationToken),
    ],
)
def test_a_broken_presigned_query_is_refused(query: str, error: type[RegistryError]) -> None:
    """AWS General Reference: all parameters of a presigned URL are required."""
    with pytest.raises(error):
        read_authorization(CIMultiDict(), query)


@pytest.mark.parametrize("expires", ["0", "-1", "604801", "1e3", "", "\u0661"])
def test_a_presigned_url_lasts_a_week_at_most(expires: str) -> None:
    """AWS: X-Amz-Expires is between 1 and 604800 seconds."""
    query = presigned_query().replace("X-Amz-Expires=60", f"X-Amz-Expires={quote(expires)}")
    with pytest.raises(IncompleteSignature):
        read_authorization(CIMultiDict(), query)
