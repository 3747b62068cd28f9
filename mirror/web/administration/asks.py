"""What an administrator may ask besides the AWS APIs, as JSON: `{"operation": "put", ...}` to the path of its kind."""

from collections.abc import Mapping
from typing import Final

import msgspec

from mirror.aws.errors import SerializationFailed


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="operation"):
    """An operation of our own: its class says which."""


class PutSecret(Ask, frozen=True, tag="put"):
    name: str
    username: str
    password: str


class ListSecrets(Ask, frozen=True, tag="list"):
    pass


class DeleteSecret(Ask, frozen=True, tag="delete"):
    name: str


class SetPassword(Ask, frozen=True, tag="set"):
    user: str
    password: str


class RemovePassword(Ask, frozen=True, tag="remove"):
    user: str


class CreateAccount(Ask, frozen=True, tag="create"):
    account: str


class ListAccounts(Ask, frozen=True, tag="list"):
    pass


class ListReplications(Ask, frozen=True, tag="status"):
    pass


class Backfill(Ask, frozen=True, tag="backfill"):
    destination: str


class RunSyncs(Ask, frozen=True, tag="run"):
    """Run rules, all without names."""

    names: tuple[str, ...] = ()


class PlanSyncs(Ask, frozen=True, tag="plan"):
    names: tuple[str, ...] = ()


class ListSyncs(Ask, frozen=True, tag="status"):
    pass


class Warm(Ask, frozen=True, tag="warm"):
    images: tuple[str, ...]
    platforms: tuple[str, ...] = ()
    referrers: bool = True


class Expire(Ask, frozen=True, tag="expire"):
    """Run a repository's lifecycle policy now, or say what that would do."""

    repository: str
    dry: bool = False


class Forecast(Ask, frozen=True, tag="forecast"):
    pass


class Collect(Ask, frozen=True, tag="collect"):
    pass


class Verify(Ask, frozen=True, tag="verify"):
    """Hold every stored byte against its digest, and do something about what is wrong."""

    repair: bool = False


class TakeSnapshot(Ask, frozen=True, tag="snapshot"):
    """Copy the database as it is now, for a backup."""


class TellStatus(Ask, frozen=True, tag="status"):
    """Say how the node stands."""


class Explain(Ask, frozen=True, tag="why"):
    """Say why an image, by `repository:tag` or `repository@digest`, is here."""

    image: str
    public: bool = False


class ListServable(Ask, frozen=True, tag="offline"):
    """Say what of the repositories called `name`, or of all, is servable with no network."""

    name: str = ""
    platform: str = ""
    public: bool = False
    after: tuple[str, str, str] | None = None


class TellUsage(Ask, frozen=True, tag="usage"):
    """Say how much a repository is used."""

    repository: str
    public: bool = False


class PurgeCached(Ask, frozen=True, tag="purge"):
    """Forget what was cached under a name; `reference` is a tag, a digest or "" for all."""

    name: str
    reference: str = ""


class ForecastPurge(Ask, frozen=True, tag="forecast"):
    """Say what PurgeCached would do."""

    name: str
    reference: str = ""


DECODERS: Final[Mapping[str, msgspec.json.Decoder[Ask]]] = {
    "/secrets": msgspec.json.Decoder(PutSecret | ListSecrets | DeleteSecret),
    "/passwords": msgspec.json.Decoder(SetPassword | RemovePassword),
    "/accounts": msgspec.json.Decoder(CreateAccount | ListAccounts),
    "/replications": msgspec.json.Decoder(ListReplications | Backfill),
    "/syncs": msgspec.json.Decoder(RunSyncs | PlanSyncs | ListSyncs | Warm),
    "/lifecycles": msgspec.json.Decoder(Expire),
    "/collection": msgspec.json.Decoder(Forecast | Collect),
    "/backups": msgspec.json.Decoder(TakeSnapshot),
    "/view": msgspec.json.Decoder(TellStatus | Explain | ListServable | TellUsage | PurgeCached | ForecastPurge),
    "/store": msgspec.json.Decoder(Verify),
}
# What CloudTrail would call the same thing, and whose it is. What only reads is not recorded.
CALLED: Final[Mapping[type[Ask], tuple[str, str]]] = {
    PutSecret: ("secretsmanager", "PutSecretValue"),
    DeleteSecret: ("secretsmanager", "DeleteSecret"),
    SetPassword: ("iam", "UpdateLoginProfile"),
    RemovePassword: ("iam", "DeleteLoginProfile"),
    CreateAccount: ("organizations", "CreateAccount"),
    PurgeCached: ("ecr", "BatchDeleteImage"),
}


def read_ask(decoder: msgspec.json.Decoder[Ask], body: bytes) -> Ask:
    """Read an operation. Raises SerializationFailed."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # Where it is wrong, never what was there: that may be a password.
        raise SerializationFailed(f"The request cannot be read: {_place(error)}") from None


def _place(error: Exception) -> str:
    return str(error).partition(" - at ")[2] or "it is not the JSON of an operation"
