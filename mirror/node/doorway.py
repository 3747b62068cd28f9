"""The doorway: the handlers over the registry floor, the express lane beside them, the server before both."""

from mirror.node.assembly import House
from mirror.node.control import Control
from mirror.web.access_log import AccessLog
from mirror.web.admission import Admission
from mirror.web.app import App, Pages
from mirror.web.callers import Callers
from mirror.web.challenges import Challenges
from mirror.web.distribution import Distribution
from mirror.web.door import Door
from mirror.web.express import Express
from mirror.web.ops import Ops
from mirror.web.replication import Replication
from mirror.web.server import Server, connections_max
from mirror.web.slow import SlowClock
from mirror.web.tokens import TokenEndpoint
from mirror.web.uploads import UploadHandlers
from mirror.web.witness import DockerWitness


def build_server(house: House, control: Control, slow: SlowClock, ops: Ops, access: AccessLog) -> Server:
    """Build what answers connections."""
    settings, store, known = house.settings, house.store, house.known
    public_url = settings.server.public_url.rstrip("/")
    callers = Callers(known.identities, known.tokens)
    challenges = Challenges(house.hosts, public_url)
    admission = Admission(
        hosts=house.hosts,
        routing=house.routing,
        index=store.index,
        authority=house.authority,
        callers=callers,
        challenges=challenges,
        rights=house.rights,
        find_public=house.public.find,
    )
    door = Door(
        admission=admission,
        routing=house.routing,
        index=store.index,
        push=house.push,
        replicas=house.replicas,
        repositories=house.repositories,
        slow=slow,
        public_url=public_url,
    )
    tokens = TokenEndpoint(admission, callers, known.tokens, challenges, slow)
    app = App(
        admission,
        Distribution(
            door,
            manifests=house.manifests,
            blobs=house.blobs,
            discovery=house.discovery,
            pulls=house.pull_times,
        ),
        UploadHandlers(door),
        ops,
        Pages({"/token": tokens.handle, "/token/": tokens.handle, **control.whole}, control.below),
        access,
        DockerWitness(house.audit, house.hosts, house.routing),
        Replication(admission, house.replicas),
    )
    express = Express(
        index=store.index,
        files=store.files,
        routing=house.routing,
        admission=admission,
        repositories=house.repositories,
        pulls=house.pull_times,
        guard=store.guard,
        access=access,
    )
    return Server(app.handle, express=express, slow=slow, connections_max=connections_max())
