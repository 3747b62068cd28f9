"""The webhooks of the configuration, each a task of the node."""

from functools import partial

from mirror import __version__, telemetry
from mirror.jobs.deliveries import Hook
from mirror.jobs.webhooks import Outcome, Webhook
from mirror.node.assembly import House
from mirror.registry.events import Events
from mirror.registry.node_ids import node_id


async def spawn_webhooks(house: House) -> None:
    """Start telling those who are to be told of events."""
    settings, store = house.settings, house.store
    if not settings.webhooks:
        return
    events = Events(await node_id(store.documents), settings.registry.region, house.routing)
    for one in settings.webhooks:
        hook = Hook(one.url, one.secret_file, one.filter)
        webhook = Webhook(
            hook,
            store.catalog,
            store.news,
            store.cursors,
            events,
            user_agent=f"mirror/{__version__}",
            counted=partial(_count, hook.name),
        )
        house.tasks.spawn(webhook.run(), f"webhook {hook.name}")


def _count(name: str, outcome: Outcome) -> None:
    telemetry.WEBHOOK_EVENTS.labels(name, outcome).inc()
