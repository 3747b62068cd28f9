"""Administration: what the machine's operator asks of the node. A desk for each kind of thing, a front before them."""

from mirror.web.administration.backups import BackupDesk
from mirror.web.administration.checkups import CheckupDesk
from mirror.web.administration.collection import CollectionDesk
from mirror.web.administration.desk import Desk
from mirror.web.administration.front import Administration
from mirror.web.administration.lifecycles import LifecycleDesk
from mirror.web.administration.people import PeopleDesk
from mirror.web.administration.replications import ReplicationDesk
from mirror.web.administration.secrets import SecretDesk
from mirror.web.administration.syncs import SyncDesk
from mirror.web.administration.views import ViewDesk

__all__ = [
    "Administration",
    "BackupDesk",
    "CheckupDesk",
    "CollectionDesk",
    "Desk",
    "LifecycleDesk",
    "PeopleDesk",
    "ReplicationDesk",
    "SecretDesk",
    "SyncDesk",
    "ViewDesk",
]
