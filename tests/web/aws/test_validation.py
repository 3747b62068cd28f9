"""Inputs against the service models: each kind of rule, in each style of saying so."""

import base64
import itertools
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.aws.errors import IamValidationError, InvalidParameter, SerializationFailed, ValidationFailed
from mirror.oci.errors import RegistryError
from mirror.web.aws.call import Service
from mirror.web.aws.models import SERVICES, Models
from mirror.web.aws.validation import compile_pattern

MODELS = Models.load()
DIGEST = "sha256:" + "a" * 64
UPLOAD = "11111111-2222-3333-4444-555555555555"


def read(operation: str, value: object, service: Service = "ecr") -> dict[str, Any]:
    found = MODELS.find(service, operation)
    assert found is not None
    return found.input.read(value)


def refused(operation: str, value: object, service: Service = "ecr") -> RegistryError:
    with pytest.raises(RegistryError) as raised:
        read(operation, value, service)
    return raised.value


PARAMETER = "Invalid parameter at '{}' failed to satisfy constraint: '{}'"
ONE = "1 validation error detected: Value {} at '{}' failed to satisfy constraint: {}"
NAME_PATTERN = "(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*"
PREFIX_PATTERN = r"^([a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*\/?|ROOT)$"
MUTABILITIES = "'MUTABLE', 'IMMUTABLE', 'MUTABLE_WITH_EXCLUSION', 'IMMUTABLE_WITH_EXCLUSION'"

OLD = [
    ("DescribeImages", {}, PARAMETER.format("repositoryName", "Member must not be null")),
    ("DescribeImages", {"repositoryName": None}, PARAMETER.format("repositoryName", "Member must not be null")),
    (
        "CreateRepository",
        {"repositoryName": "Upper"},
        PARAMETER.format("repositoryName", f"must satisfy regular expression '{NAME_PATTERN}"),
    ),
    (
        "CreateRepository",
        {"repositoryName": "a"},
        PARAMETER.format("repositoryName", "Member must have length greater than or equal to 2"),
    ),
    (
        "CreateRepository",
        {"repositoryName": "a" * 257},
        PARAMETER.format("repositoryName", "Member must have length less than or equal to 256"),
    ),
    (
        "CreateRepository",
        {"repositoryName": "app", "imageTagMutability": "FROZEN"},
        f"Invalid parameter at 'imageTagMutability' failed to satisfy constraint: must be one of {MUTABILITIES}",
    ),
    (
        "DescribeRepositories",
        {"maxResults": 1001},
        PARAMETER.format("maxResults", "Member must have value less than or equal to 1000"),
    ),
    (
        "DescribeRepositories",
        {"maxResults": 0},
        PARAMETER.format("maxResults", "Member must have value greater than or equal to 1"),
    ),
    (
        "DescribeRepositories",
        {"repositoryNames": []},
        PARAMETER.format("repositoryNames", "Member must have length greater than or equal to 1"),
    ),
    (
        "BatchGetImage",
        {"repositoryName": "app", "imageIds": [{}] * 101},
        PARAMETER.format("imageIds", "Member must have length less than or equal to 100"),
    ),
    (
        "BatchGetImage",
        {"repositoryName": "app", "imageIds": [{}, {"imageTag": "t" * 301}]},
        PARAMETER.format("imageIds.2.member.imageTag", "Member must have length less than or equal to 300"),
    ),
    (
        "BatchGetImage",
        {"repositoryName": "app", "imageIds": [None]},
        PARAMETER.format("imageIds.1.member", "Member must not be null"),
    ),
    (
        "DescribeImages",
        {"repositoryName": "app", "filter": {"tagStatus": "SOME"}},
        PARAMETER.format("filter.tagStatus", "Member must satisfy enum value set: [TAGGED, UNTAGGED, ANY]"),
    ),
    (
        "DescribeImages",
        {"repositoryName": "app", "registryId": "12345678901\u0662"},
        PARAMETER.format("registryId", "Member must satisfy regular expression pattern: [0-9]{12}"),
    ),
    (
        "TagResource",
        {"resourceArn": "arn:x", "tags": [{"Key": "k"}]},
        PARAMETER.format("tags.1.member.value", "Member must not be null"),
    ),
]

NEW = [
    ("CreatePullThroughCacheRule", {"upstreamRegistryUrl": "quay.io"}, ("null", "Member must not be null")),
    (
        "CreatePullThroughCacheRule",
        {"upstreamRegistryUrl": "quay.io", "ecrRepositoryPrefix": "x" * 31},
        (f"'{'x' * 31}'", "Member must have length less than or equal to 30"),
    ),
    (
        "DeletePullThroughCacheRule",
        {"ecrRepositoryPrefix": "Quay"},
        (
            "'Quay'",
            f"Member must satisfy regular expression pattern: {PREFIX_PATTERN}",
        ),
    ),
]


@pytest.mark.parametrize(("operation", "value", "said"), OLD)
def test_older_operations_name_one_parameter(operation: str, value: object, said: str) -> None:
    """ECR.md 1, "Rules of thumb", and 1.3, "Error texts": InvalidParameterException, 400."""
    error = refused(operation, value)
    assert (type(error), error.aws, error.aws_status) == (InvalidParameter, "InvalidParameterException", 400)
    assert error.message == said


@pytest.mark.parametrize(("operation", "value", "said"), NEW)
def test_newer_operations_say_validation_exception(operation: str, value: object, said: tuple[str, str]) -> None:
    """ECR.md 1, "Rules of thumb": ValidationException where the operation models it."""
    error = refused(operation, value)
    assert (type(error), error.aws_status) == (ValidationFailed, 400)
    assert error.message == ONE.format(said[0], "ecrRepositoryPrefix", said[1])


def test_newer_operations_tell_all_faults() -> None:
    """The form of AWS's ValidationException: their number, then each."""
    error = refused("CreatePullThroughCacheRule", {"ecrRepositoryPrefix": "a", "upstreamRegistry": "other"})
    assert error.message.startswith("3 validation errors detected: Value null at 'upstreamRegistryUrl' failed")
    assert error.message.count("; Value ") == 2
    many = refused("BatchGetRepositoryScanningConfiguration", {"repositoryNames": ["A1"] * 25})
    assert many.message.startswith("10 validation errors detected: ")


def test_iam_says_validation_error_and_no_secret() -> None:
    """IAM API reference, "Common Errors"; a sensitive member's value is not said."""
    error = refused("CreateUser", {"UserName": "a b"}, "iam")
    assert isinstance(error, IamValidationError)
    assert error.message == ONE.format(
        "'a b'", "userName", r"Member must satisfy regular expression pattern: [\w+=,.@-]+"
    )
    secret = refused("CreateLoginProfile", {"UserName": "ann", "Password": "\x01hunter2"}, "iam")
    assert "hunter2" not in secret.message
    assert "Value at 'password'" in secret.message


@pytest.mark.parametrize(
    ("operation", "value"),
    [
        ("CreateRepository", []),
        ("CreateRepository", "text"),
        ("CreateRepository", None),
        ("CreateRepository", {"repositoryName": 5}),
        ("CreateRepository", {"repositoryName": ["app"]}),
        ("CreateRepository", {"repositoryName": {"a": "b"}}),
        ("CreateRepository", {"repositoryName": "app", "tags": {}}),
        ("CreateRepository", {"repositoryName": "app", "tags": ["a"]}),
        ("CreateRepository", {"repositoryName": "app", "imageScanningConfiguration": []}),
        ("DeleteRepository", {"repositoryName": "app", "force": "true"}),
        ("DeleteRepository", {"repositoryName": "app", "force": 1}),
        ("DescribeRepositories", {"maxResults": "5"}),
        ("DescribeRepositories", {"maxResults": True}),
        ("DescribeRepositories", {"maxResults": 5.5}),
        ("DescribeRepositories", {"maxResults": 2**31}),
        ("DescribeRepositories", {"maxResults": float("inf")}),
        ("DescribeRepositories", {"maxResults": float("nan")}),
        ("DescribeRegistry", []),
    ],
)
def test_a_value_of_another_type_is_a_serialization_exception(operation: str, value: object) -> None:
    """ECR.md 3.1: what cannot be read is not what breaks a rule."""
    error = refused(operation, value)
    assert (type(error), error.aws_status) == (SerializationFailed, 400)


def test_unknown_and_null_members_are_not_there() -> None:
    """ECR.md 5, item 6; AWS ignores members that it does not know."""
    value = {
        "repositoryName": "app",
        "later": {"x": 1},
        "imageTagMutability": None,
        "tags": [{"Key": "k", "Value": ""}],
    }
    assert read("CreateRepository", value) == {"repositoryName": "app", "tags": [{"Key": "k", "Value": ""}]}
    assert read("DescribeRegistry", {"anything": 1}) == {}


def test_whole_numbers_are_integers_however_they_are_written() -> None:
    """JSON has one kind of number."""
    value = read("DescribeRepositories", {"maxResults": 5.0})["maxResults"]
    assert (value, type(value)) == (5, int)


def part(blob: object) -> dict[str, Any]:
    return {
        "repositoryName": "app",
        "uploadId": UPLOAD,
        "partFirstByte": 0,
        "partLastByte": 2**40,
        "layerPartBlob": blob,
    }


def test_a_blob_is_decoded() -> None:
    """ECR.md 1.3, "Layer upload": layerPartBlob is base64."""
    assert read("UploadLayerPart", part(base64.b64encode(b"\x00layer").decode()))["layerPartBlob"] == b"\x00layer"
    assert read("UploadLayerPart", part(""))["layerPartBlob"] == b""


@pytest.mark.parametrize("blob", ["YQ", "YQ==\n", "Y Q==", "YQ==YQ==", "_-==", "\u0661AAA", 5, ["YQ=="]])
def test_a_blob_that_is_no_base64_is_refused(blob: object) -> None:
    """RELIABILITY A25: junk is not skipped."""
    assert isinstance(refused("UploadLayerPart", part(blob)), SerializationFailed)


def test_a_blob_that_is_too_long_is_not_decoded() -> None:
    """Appendix A: LayerPartBlob max 20971520, counted in bytes after decoding."""
    most = base64.b64encode(b"x" * 20_971_520).decode()
    assert len(read("UploadLayerPart", part(most))["layerPartBlob"]) == 20_971_520
    for blob in (base64.b64encode(b"x" * 20_971_521).decode(), "!" * 30_000_000):
        error = refused("UploadLayerPart", part(blob))
        assert "Member must have length less than or equal to 20971520" in error.message
        assert len(error.message) < 500


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_compiles(service: Service) -> None:
    """ECR.md 1: 62 operations of ecr, 23 of ecr-public; every shape of theirs and of IAM's and STS's is known."""
    names = MODELS.names(service)
    assert len(names) >= {"ecr": 62, "ecr-public": 23, "iam": 150, "sts": 8}[service]
    for name in names:
        found = MODELS.find(service, name)
        assert found is not None
        assert found.name == name


def test_the_target_tells_the_service() -> None:
    """ECR.md 3.1: two prefixes on one port."""
    private = MODELS.find_target("AmazonEC2ContainerRegistry_V20150921.PutImage")
    public = MODELS.find_target("SpencerFrontendService.PutImage")
    assert private is not None
    assert public is not None
    assert (private.service, public.service) == ("ecr", "ecr-public")
    for target in (
        "",
        "PutImage",
        "AmazonEC2ContainerRegistry_V20150921.Put",
        "Other.PutImage",
        "SpencerFrontendService.",
    ):
        assert MODELS.find_target(target) is None


def patterns() -> dict[str, int]:
    """All patterns of all inputs, with the longest text that each may see."""
    found: dict[str, int] = {}

    def walk(shape: Any) -> None:
        if shape is None:
            return
        text = shape.metadata.get("pattern")
        if text:
            found[text] = max(found.get(text, 0), shape.metadata.get("max", 20_000))
        for below in getattr(shape, "members", {}).values():
            walk(below)
        for name in ("member", "key", "value"):
            walk(getattr(shape, name, None))

    for service in SERVICES:
        for name in MODELS.names(service):
            operation = MODELS.find(service, name)
            assert operation is not None
            walk(operation.model.input_shape)
    return found


@pytest.mark.parametrize(("text", "length"), sorted(patterns().items()))
def test_no_pattern_takes_long(text: str, length: int) -> None:
    """RELIABILITY A36: whatever a client sends, at the longest that a pattern sees."""
    pattern = compile_pattern(text)
    length = min(length, 20_000)
    started = time.perf_counter()
    for unit in ("a", "a-", "a/", "-", "a.", "a__", "/", "0", "*", "a*", " ", "arn:aws-a", "/a"):
        for end in ("!", "\n", "\x00"):
            pattern.fullmatch((unit * length)[: length - 1] + end)
    assert time.perf_counter() - started < 2.0


def test_a_name_of_ten_thousand_bytes_is_refused_at_once() -> None:
    """RELIABILITY A36: the length is checked before the pattern."""
    started = time.perf_counter()
    refused("CreateRepository", {"repositoryName": "a-" * 5000})
    assert time.perf_counter() - started < 0.1


def test_the_pattern_that_was_written_anew_means_the_same() -> None:
    """Every text of up to seven characters of each kind, by the model's own pattern and by ours."""
    model = r"^[a-z0-9*](?:[._\-/a-z0-9*]?[a-z0-9*]+)*$"
    theirs, ours = re.compile(model), compile_pattern(model)
    assert ours.pattern != model
    for size in range(8):
        for letters in itertools.product("a*./", repeat=size):
            text = "".join(letters)
            assert bool(theirs.fullmatch(text)) == bool(ours.fullmatch(text)), text


def test_classes_are_ascii_but_for_those_of_unicode() -> None:
    r"""Java's \w and \d are ASCII (RELIABILITY A36), its \p{L} is not."""
    assert not compile_pattern(r"[\w+=,.@-]+").fullmatch("é")
    assert not compile_pattern(r"\d{12}").fullmatch("\u0661" * 12)
    tag_key = compile_pattern(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+")
    assert tag_key.fullmatch("Größe 1\u00a0é")
    assert not tag_key.fullmatch("tab\t")
    assert not tag_key.fullmatch("a;b")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(
            st.sampled_from(["repositoryName", "imageIds", "tags", "Key", "Value", "imageTag", "filter", "maxResults"]),
            below,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(value=json_values, operation=st.sampled_from(sorted(MODELS.names("ecr"))))
def test_any_input_is_read_or_refused(value: object, operation: str) -> None:
    """RELIABILITY A47: bad input is an answer, never a fault; what was read has no null at its top."""
    try:
        got = read(operation, value)
    except (InvalidParameter, ValidationFailed, SerializationFailed):
        return
    assert None not in got.values()
