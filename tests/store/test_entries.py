"""Index records: what goes in comes out."""

from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.digest import Digest, digest_of
from mirror.store.entries import (
    INLINE_BYTES_MAX,
    Document,
    Member,
    TagEntry,
    blob_entry,
    read_document,
    read_member,
    read_tag_entry,
)

DIGESTS = st.builds(digest_of, st.binary(max_size=8), st.sampled_from(["sha256", "sha512"]))


@given(
    st.builds(
        Member,
        st.sampled_from(["manifest", "blob"]),
        st.text(max_size=255),
        st.integers(-1, 2**63 - 1),
        st.booleans(),
        st.booleans(),
    )
)
def test_a_member_reads_as_it_was_written(member: Member) -> None:
    """entries.py: records are packed by struct."""
    assert read_member(member.pack()) == member


@given(DIGESTS, st.floats(allow_nan=False))
def test_a_tag_reads_as_it_was_written(digest: Digest, checked_at: float) -> None:
    """entries.py: the digest's key is of either length."""
    assert read_tag_entry(TagEntry(digest, checked_at).pack()) == TagEntry(digest, checked_at)


@given(st.binary(max_size=100), st.floats(allow_nan=False))
def test_a_document_reads_as_it_was_written(body: bytes, checked_at: float) -> None:
    """entries.py: an upstream's answer is kept as it came."""
    assert read_document(Document(body, checked_at).pack()) == Document(body, checked_at)


def test_bytes_are_inline_up_to_the_limit_and_not_beyond() -> None:
    """Issue section 5: small blobs, to 64 KiB, come from the index."""
    assert blob_entry(bytes(INLINE_BYTES_MAX)).data == bytes(INLINE_BYTES_MAX)
    assert blob_entry(bytes(INLINE_BYTES_MAX + 1)).data is None
