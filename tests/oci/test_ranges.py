"""Byte ranges: RFC 9110's, and nothing that only looks like them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import RangeNotSatisfiable, RequestInvalid
from mirror.oci.ranges import RANGES_MAX, Span, parse_answered_range, parse_content_range, parse_range

SIZE = 1_000


@pytest.mark.parametrize(
    ("header", "spans"),
    [
        ("bytes=0-", [(0, 1000)]),
        ("bytes=0-0", [(0, 1)]),
        ("bytes=10-19", [(10, 20)]),
        ("bytes=990-2000", [(990, 1000)]),
        ("bytes=999-", [(999, 1000)]),
        ("bytes=-1", [(999, 1000)]),
        ("bytes=-5000", [(0, 1000)]),
        ("Bytes=1-2", [(1, 3)]),
        ("bytes=0-0,5-6 , -2", [(0, 1), (5, 7), (998, 1000)]),
        ("bytes=5-6,0-1", [(5, 7), (0, 2)]),
        ("bytes=2000-,0-1", [(0, 2)]),
        ("bytes=-0,0-1", [(0, 2)]),
    ],
)
def test_a_range_is_read_against_the_size(header: str, spans: list[tuple[int, int]]) -> None:
    """RFC 9110 section 14.1.2; CLIENTS quirks 7 and 8."""
    assert parse_range(header, SIZE) == [Span(*span) for span in spans]


@pytest.mark.parametrize(
    "header",
    [None, "", "items=0-1", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=1", "bytes=0-1,", "bytes=--1"]
    + ["bytes=0-1,x", "bytes=+1-2", "bytes=1 -2", "bytes=\u0661-\u0662", "bytes=0x1-2", "bytes=1-2-3"]
    + ["bytes=" + "9" * 20 + "-", "bytes=" + "0-1," * RANGES_MAX + "0-1"],
)
def test_what_is_no_range_of_ours_means_the_whole(header: str | None) -> None:
    """RFC 9110 section 14.2: a server may ignore Range; RELIABILITY A36: digits are ASCII."""
    assert parse_range(header, SIZE) is None


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5000-6000", "bytes=-0", "bytes=500-0", "bytes=1000-1000"])
def test_a_range_outside_is_refused_with_the_size(header: str) -> None:
    """RFC 9110 section 15.5.17: 416 tells the size; the conformance suite asks for `500-0`."""
    with pytest.raises(RangeNotSatisfiable) as caught:
        parse_range(header, SIZE)
    assert caught.value.status == 416
    assert caught.value.headers == {"Content-Range": "bytes */1000"}


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-1", "bytes=0-0"])
def test_no_bytes_satisfy_no_range(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, 0)


parts = st.one_of(
    st.builds("{}-{}".format, st.integers(0, 50), st.integers(0, 50)),
    st.builds("{}-".format, st.integers(0, 50)),
    st.builds("-{}".format, st.integers(0, 50)),
)


@given(st.lists(parts, min_size=1, max_size=4), st.integers(0, 40))
def test_spans_are_what_a_plain_reading_gives(specs: list[str], size: int) -> None:
    """Against the plainest reading: the set of positions, one by one."""
    wanted = [plain for spec in specs if (plain := plainly(spec, size))]
    try:
        spans = parse_range("bytes=" + ",".join(specs), size)
    except RangeNotSatisfiable:
        assert wanted == []
    else:
        assert spans is not None
        assert [list(range(span.start, span.end)) for span in spans] == wanted
        assert all(len(span) for span in spans)


def plainly(spec: str, size: int) -> list[int]:
    first, last = spec.split("-")
    if not first:
        return list(range(size))[-int(last) :] if int(last) else []
    return [at for at in range(size) if int(first) <= at and (not last or at <= int(last))]


@given(st.text(max_size=30), st.integers(0, 2**63))
def test_any_header_is_read_or_refused(header: str, size: int) -> None:
    for text in (header, "bytes=" + header):
        try:
            spans = parse_range(text, size) or []
        except RangeNotSatisfiable:
            continue
        assert all(0 <= span.start < span.end <= size for span in spans)


@pytest.mark.parametrize("header", ["0-9", "bytes 0-9/10", "bytes 0-9/*", "bytes=0-9", " 0-9 ", "0-9/10"])
def test_an_uploads_content_range_is_read_in_both_spellings(header: str) -> None:
    """Distribution-spec 1.1: `Content-Range: <start>-<end>`, and HTTP's own."""
    assert parse_content_range(header) == Span(0, 10)


@pytest.mark.parametrize("header", ["", "9-0", "-9", "0-", "a-b", "bytes 0-9/x", "bytes */10", "0-9-", "\u0660-9"])
def test_an_uploads_bad_content_range_is_refused(header: str) -> None:
    with pytest.raises(RequestInvalid):
        parse_content_range(header)


@given(st.integers(0, 10**15), st.integers(1, 10**15))
def test_an_answered_range_is_what_was_printed(start: int, length: int) -> None:
    span = Span(start, start + length)
    assert parse_answered_range(span.content_range(start + length)) == (span, start + length)
    assert parse_answered_range(f"bytes {start}-{start + length - 1}/*") == (span, None)


@pytest.mark.parametrize("header", ["", "bytes */10", "bytes 5-4/10", "0-9/10", "bytes 0-9", "items 0-9/10"])
def test_an_answered_range_that_cannot_be_read_is_none(header: str) -> None:
    """An upstream's 206 without a readable Content-Range is not to be trusted."""
    assert parse_answered_range(header) is None
