"""The documents in memory: lists are what a look at all of them would give, whatever was written before."""

from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.names import Registry
from mirror.store.document_map import DocumentKey, DocumentMap

ONE, TWO = "111111111111", "222222222222"
OWNERS = [Registry(""), Registry("", public=True), Registry(ONE), Registry(ONE, public=True), Registry(TWO)]
KINDS = ["", "use", "user", "users"]
KEYS = st.builds(DocumentKey, st.sampled_from(OWNERS), st.sampled_from(KINDS), st.sampled_from(["", "a", "ab", "b"]))
BODIES = st.dictionaries(KEYS, st.binary(max_size=2), max_size=30)
EDITS = st.lists(st.dictionaries(KEYS, st.none() | st.binary(max_size=2), max_size=10), max_size=5)


@given(BODIES, EDITS)
def test_a_list_has_what_is_there_in_order(
    found: dict[DocumentKey, bytes], edits: list[dict[DocumentKey, bytes]]
) -> None:
    """document_map.py: `all` by owner and name, `list` by name; a document that is gone is in neither."""
    documents, truth = DocumentMap(found), dict(found)
    for edit in edits:
        documents.take_in(edit)
        truth = {key: body for key, body in (truth | edit).items() if body is not None}
    for kind in KINDS:
        known = sorted((key.owner, key.name, body) for key, body in truth.items() if key.kind == kind)
        assert documents.all(kind) == known
        for owner in OWNERS:
            assert documents.list(owner, kind) == [(name, body) for whose, name, body in known if whose == owner]
