"""Events: the change log, told in the shape in which Amazon EventBridge tells of a registry.

Source: ECR guide, "Amazon ECR events and EventBridge"; ECR.md 6.1. A change is told by one event or by none, so its
place in the log names the event: what is delivered twice has the same id both times. A push is told once a tag, by the
tag's change; the manifest's own change speaks only for a push without a tag. A deletion likewise. So a change is read
together with its neighbours in the log. Pure, but for what `Naming` asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import UUID, uuid5

from mirror.aws.arns import repository_arn
from mirror.oci.names import Repository
from mirror.rules.routing import ROOT, UpstreamRule
from mirror.store.changes import Change

IMAGE: Final = "ECR Image Action"
REFERRER: Final = "ECR Referrer Action"
REPLICATION: Final = "ECR Replication Action"
PULL_THROUGH: Final = "ECR Pull Through Cache Action"
TYPES: Final = (IMAGE, REFERRER, PULL_THROUGH, REPLICATION)

# Each change of a tag, and the change of the manifest that the same transaction may have written beside it.
_WITH_TAG: Final = {"tag.set": "manifest.put", "tag.deleted": "manifest.deleted"}
_STORAGE: Final = {"ARCHIVED": "ARCHIVE", "ACTIVE": "STANDARD"}


class Naming(Protocol):
    """What events ask of the routing: the names that clients know."""

    def address(self, repository: Repository) -> str: ...
    def rule(self, repository: Repository) -> UpstreamRule | None: ...


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `id` is the same whenever it is told; `type` is its detail-type; `body` is the whole JSON."""

    seq: int
    id: str
    type: str
    body: Mapping[str, Any]


class Events:
    """Reads events from changes. `node` is the id of this node's log: two nodes' events have different ids."""

    def __init__(self, node: UUID, region: str, naming: Naming) -> None:
        self._node = node
        self._region = region
        self._naming = naming

    def read(self, change: Change, before: Change | None, after: Change | None) -> Event | None:
        """Tell of a change that stands between two others in the log; None where it is no event."""
        if change.repository.owned:
            return self._of_owned(change, before, after)
        is_sync = change.kind == "tag.set" or (change.kind == "manifest.put" and not _is_one(after, change))
        return self._pull_through(change) if is_sync else None

    def _of_owned(self, change: Change, before: Change | None, after: Change | None) -> Event | None:
        match change.kind:
            case "tag.set":
                return self._image(change, "PUSH")
            case "manifest.put":
                # The tags of a push are behind its manifest.
                return None if _is_one(after, change) else self._image(change, "PUSH")
            case "tag.deleted":
                return self._image(change, "DELETE")
            case "manifest.deleted":
                # The tags of a deleted manifest are before it.
                return None if _is_one(before, change) else self._image(change, "DELETE")
            case "manifest.status":
                return self._storage(change)
        return None

    def _image(self, change: Change, action: str) -> Event:
        if action == "PUSH" and change.detail.get("origin"):
            return self._replicated(change)
        detail = {**_result(self._naming.address(change.repository), action), **_image_of(change)}
        return self._event(change, IMAGE, detail)

    def _replicated(self, change: Change) -> Event:
        """Tell, at the place where it arrived, of an image that another registry has sent."""
        account, _, region = change.detail["origin"].partition("/")
        name = self._naming.address(change.repository)
        detail = {
            **_result(name, "REPLICATE"),
            **_image_of(change),
            "source-account": account,
            "source-region": region,
        }
        arn = repository_arn(change.repository.registry, self._region, name)
        return self._event(change, REPLICATION, detail, arn)

    def _storage(self, change: Change) -> Event:
        """Tell of an archived or a restored image; a restored referrer's event has a name of its own."""
        target = _STORAGE[change.detail["status"]]
        detail = {
            **_result(self._naming.address(change.repository), "UPDATE_STORAGE_CLASS"),
            **_image_of(change),
            "target-storage-class": target,
        }
        known = {"media_type": "manifest-media-type", "artifact_type": "artifact-media-type"}
        detail |= {said: change.detail[key] for key, said in known.items() if change.detail.get(key)}
        if target != "STANDARD":
            return self._event(change, IMAGE, detail)
        detail["last-activated-at"] = _moment(change.at, "milliseconds")
        return self._event(change, REFERRER if change.detail.get("subject") else IMAGE, detail)

    def _pull_through(self, change: Change) -> Event:
        repository = change.repository
        rule, name = self._naming.rule(repository), self._naming.address(repository)
        detail = {
            "rule-version": "1",
            "sync-status": "SUCCESS",
            "ecr-repository-prefix": (rule.path_prefix or ROOT) if rule is not None else repository.upstream,
            "repository-name": name,
            # A rule that is deleted by now has taken its URL with it.
            **({"upstream-registry-url": rule.host} if rule is not None else {}),
            **_image_of(change),
        }
        return self._event(change, PULL_THROUGH, detail, repository_arn(repository.registry, self._region, name))

    def _event(self, change: Change, kind: str, detail: Mapping[str, Any], *resources: str) -> Event:
        event_id = str(uuid5(self._node, str(change.seq)))
        registry = change.repository.registry
        body = {
            "version": "0",
            "id": event_id,
            "detail-type": kind,
            "source": "aws.ecr-public" if registry.public else "aws.ecr",
            "account": registry.account,
            "time": _moment(change.at, "seconds"),
            "region": self._region,
            "resources": list(resources),
            "detail": detail,
        }
        return Event(change.seq, event_id, kind, body)


def _is_one(tag: Change | None, manifest: Change) -> bool:
    """Tell whether a neighbour is the change of a tag that came to be, or went, together with a manifest."""
    return (
        tag is not None
        and _WITH_TAG.get(tag.kind) == manifest.kind
        and (tag.repository, tag.digest, tag.at) == (manifest.repository, manifest.digest, manifest.at)
    )


def _result(name: str, action: str) -> dict[str, Any]:
    return {"result": "SUCCESS", "repository-name": name, "action-type": action}


def _image_of(change: Change) -> dict[str, Any]:
    said = {"image-digest": str(change.digest) if change.digest else "", "image-tag": change.tag}
    return {key: value for key, value in said.items() if value}


def _moment(at: float, precision: str) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=precision).replace("+00:00", "Z")
