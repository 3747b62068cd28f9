"""The node's id: what the names of its events begin with. Made at the first start, and never another one's."""

from typing import Final
from uuid import UUID, uuid4

from mirror.oci.names import Registry
from mirror.store.documents import Documents, Edit

NODE: Final = Registry("")  # the owner of what belongs to no account
KIND: Final = "node-id"


async def node_id(documents: Documents) -> UUID:
    """Return the id of the node whose store this is."""
    kept = documents.get(NODE, KIND)
    if kept is not None:
        return UUID(kept.decode())
    made = uuid4()
    await documents.write([Edit(NODE, KIND, "", str(made).encode())])
    return made
