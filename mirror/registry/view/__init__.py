"""What an operator sees of the node: how it stands, why an image is here, what is servable with no network."""

from mirror.registry.view.measures import Measures
from mirror.registry.view.offline import Offline, OfflinePage
from mirror.registry.view.provenance import Provenance, Why
from mirror.registry.view.purge import Purge, PurgeAnswer
from mirror.registry.view.servable import Part, Servable
from mirror.registry.view.status import Busiest, Status, Statuses
from mirror.registry.view.usage import RepositoryUsage, Usages

__all__ = [
    "Busiest",
    "Measures",
    "Offline",
    "OfflinePage",
    "Part",
    "Provenance",
    "Purge",
    "PurgeAnswer",
    "RepositoryUsage",
    "Servable",
    "Status",
    "Statuses",
    "Usages",
    "Why",
]
