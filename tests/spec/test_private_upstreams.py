"""What an upstream gave to the node's credential is not for everybody; and upstreams that are asked about callers."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from accounts import (
    ADMIN,
    NOBODY,
    OTHER,
    OWNER,
    PULLER,
    READ_ONLY,
    REGION,
    STRANGER,
    Person,
    Town,
    allow,
    basic,
    deny,
    host_of,
    policy,
    populated,
)
from lanes import Wire, express_answers, lane_of, warmed
from pushing import ask, code_of, push_image, sha256
from running import cached
from standin import OCI_MANIFEST, Bearer, Image, Standin

from mirror.config.settings import Host

NODE: Final = ("node", "the node's own password")
ALICE: Final = ("alice", "alice's own password")
NAME: Final = "private.example/team/app"
IMPORTER: Final = Person(
    OWNER, "importer", (READ_ONLY,), inline=(allow(None, "ecr:BatchImportUpstreamImage", "ecr:CreateRepository"),)
)


@asynccontextmanager
async def private(
    root: Path, scheme: Literal["basic", "bearer"] = "basic", *, authorize: str = "policy", **options: Any
) -> AsyncIterator[tuple[Town, Standin, Image]]:
    """A node that caches a registry which asks it for a password, at the prefix `private.example`."""
    secret = root / "upstream.password"
    secret.write_text(NODE[1])
    secret.chmod(0o600)
    async with Standin() as standin:
        image = standin.add_image("team/app", "v1", [b"a private layer"])
        if scheme == "basic":
            standin.basic = NODE
        else:
            standin.bearer = Bearer(*NODE)
        rule = cached(standin, "private.example", username=NODE[0], password_file=str(secret), authorize=authorize)
        people = (ADMIN, PULLER, NOBODY, STRANGER, IMPORTER)
        given = {"anonymous": ("pull", "push", "delete"), **options}
        async with populated(root, people=people, upstreams=[rule], **given) as town:
            yield town, standin, image


async def pulled(client: Any, image: Image, name: str = NAME) -> set[int]:
    """Pull everything of an image twice; return the statuses."""
    paths = ["manifests/v1", f"manifests/{image.digest}", *(f"blobs/{one}" for one in (image.config, *image.layers))]
    statuses = set()
    for _ in range(2):
        for path in paths:
            statuses.add((await client.fetch(f"/v2/{name}/{path}"))[0])
    return statuses


def shown(standin: Standin, kind: Literal["", "token"] = "") -> list[str]:
    """List the credentials that were shown, one for each request that had one."""
    found = [seen.headers.get("authorization", "") for seen in standin.asked(kind)]
    return [credential for credential in found if credential]


# `authorize = "policy"`.


async def test_what_the_nodes_credential_opened_is_not_for_callers_without_one(tmp_path: Path) -> None:
    """RELIABILITY A16: 401, cold and cached, though `[access] anonymous` is open to all; upstream is not even asked."""
    async with private(tmp_path) as (town, standin, image):
        nobody = town.client(host="mirror")
        assert await pulled(nobody, image) == {401}
        assert not standin.seen
        assert await pulled(town.client(ADMIN), image) == {200}
        standin.forget()
        assert await pulled(nobody, image) == {401}
        for path in ("tags/list", f"referrers/{image.digest}"):
            assert (await nobody.fetch(f"/v2/{NAME}/{path}"))[0] == 401
        assert await pulled(nobody, image, "team/app") == {404}
        assert (await nobody.fetch("/v2/team/app/manifests/v1?ns=private.example"))[0] == 401
        assert (await nobody.fetch("/v2/_catalog"))[2] == b'{"repositories":[]}'
        assert not standin.seen


async def test_it_is_for_whom_policies_allow(tmp_path: Path) -> None:
    """ECR.md 2.5: reading what is here takes pull rights; fetching what is not, BatchImportUpstreamImage besides."""
    async with private(tmp_path) as (town, standin, image):
        status, _, body = await town.client(PULLER).fetch(f"/v2/{NAME}/manifests/v1")
        assert (status, code_of(body)) == (404, "MANIFEST_UNKNOWN")
        assert not standin.seen
        assert await pulled(town.client(IMPORTER), image) == {200}
        assert await pulled(town.client(PULLER), image) == {200}
        assert await pulled(town.client(NOBODY), image) == {403}
        assert await pulled(town.client(STRANGER), image) == {403}
        await town.set_policy(NAME, policy(allow("*", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")))
        assert await pulled(town.client(host="mirror"), image) == {200}


async def test_fetching_takes_the_right_to_make_the_repository(tmp_path: Path) -> None:
    """ECR.md 2.1, "Action map": ecr:CreateRepository if it does not exist yet."""
    async with private(tmp_path) as (town, standin, image):
        person = await town.settle(
            Person(OWNER, "fetcher", (READ_ONLY,), inline=(allow(None, "ecr:BatchImportUpstreamImage"),))
        )
        status, _, body = await town.client(person).fetch(f"/v2/{NAME}/manifests/v1")
        assert (status, code_of(body)) == (404, "NAME_UNKNOWN")
        assert not standin.seen
        assert await pulled(town.client(ADMIN), image) == {200}
        newer = standin.add_image("team/app", "v2")
        assert (await town.client(person).fetch(f"/v2/{NAME}/manifests/v2"))[2] == newer.manifest


async def test_the_lane_does_not_give_it_to_callers_without_a_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RELIABILITY A16 in the express lane: warm for one caller, 401 for the next on the same connection."""
    lane = lane_of(monkeypatch)
    async with private(tmp_path) as (town, _, image):
        assert await pulled(town.client(ADMIN), image) == {200}
        wire = await Wire.open(town.node)
        for path in (f"/v2/{NAME}/manifests/v1", f"/v2/{NAME}/blobs/{image.layers[0]}"):
            for method in ("GET", "HEAD"):
                good, bad = town.client(ADMIN).asking(method, path), town.client(host="mirror").asking(method, path)
                await warmed(lane, town.node, good)
                for _ in range(3):
                    assert await express_answers(wire, good) == (200, 1)
                    assert await express_answers(wire, bad) == (401, 0)
                    assert b"private" in (await wire.ask(good)) or "manifests/v1" in path
        wire.close()


async def test_a_cached_private_layer_cannot_be_mounted_by_who_may_not_pull_it(tmp_path: Path) -> None:
    """RELIABILITY A9, A16: 202; the layer stays where it is."""
    async with private(tmp_path) as (town, _, image):
        assert await pulled(town.client(ADMIN), image) == {200}
        nobody = town.client(host="mirror")
        for source in ("", f"&from={NAME}"):
            path = f"/v2/own/app/blobs/uploads/?mount={image.layers[0]}{source}"
            assert (await ask(nobody, "POST", path))[0] == 202, source
        assert (await nobody.fetch(f"/v2/own/app/blobs/{image.layers[0]}"))[0] == 404


async def test_an_upstream_may_be_declared_for_everybody(tmp_path: Path) -> None:
    """Configuration, authorize = "anonymous": the operator says that what this credential opens is for all."""
    async with private(tmp_path, authorize="anonymous") as (town, standin, image):
        assert await pulled(town.client(host="mirror"), image) == {200}
        assert {seen.headers.get("authorization", "") for seen in standin.seen} == {"", basic(*NODE)}


async def test_it_still_takes_that_pulls_are_open(tmp_path: Path) -> None:
    """authority.py: authorize = "anonymous" opens nothing where `[access] anonymous` does not."""
    async with private(tmp_path, authorize="anonymous", anonymous=("push",)) as (town, standin, image):
        assert await pulled(town.client(host="mirror"), image) == {401}
        assert not standin.seen


async def test_no_other_account_has_the_home_registrys_upstreams(tmp_path: Path) -> None:
    """ECR.md 5 item 12: upstreams of the configuration are the home registry's."""
    async with private(tmp_path, authorize="anonymous") as (town, standin, image):
        assert await pulled(town.client(host="mirror"), image) == {200}
        standin.forget()
        assert await pulled(town.client(STRANGER, host=host_of(OTHER)), image) == {404}
        assert not standin.seen


# `authorize = "upstream"`.


async def test_the_callers_own_upstream_credential_is_asked_about_and_believed_for_a_minute(tmp_path: Path) -> None:
    """FIELD pain 14: a hit is served only if this caller may pull it upstream; one question a minute."""
    async with private(tmp_path, authorize="upstream") as (town, standin, image):
        assert await pulled(town.client(ADMIN), image) == {200}  # policies let in as ever; it is cached now
        standin.forget()
        standin.basic = ALICE
        alice = town.client(host="mirror", credential=basic(*ALICE))
        assert await pulled(alice, image) == {200}
        assert shown(standin) == [basic(*ALICE)]
        assert (await alice.fetch(f"/v2/{NAME}/tags/list"))[0] in (200, 502)  # the node's own credential is old now


async def test_a_wrong_upstream_credential_is_refused(tmp_path: Path) -> None:
    """authorize = "upstream": asked once for a while, and 401, so that clients ask for another one."""
    async with private(tmp_path, authorize="upstream") as (town, standin, image):
        assert await pulled(town.client(ADMIN), image) == {200}
        standin.forget()
        for wrong in (basic("alice", "wrong"), basic("alice", ""), basic("node", "x")):
            assert await pulled(town.client(host="mirror", credential=wrong), image) == {401}
        assert len(shown(standin)) == len(set(shown(standin))) == 3
        standin.forget()
        assert await pulled(town.client(host="mirror"), image) == {401}
        assert not standin.seen


async def test_a_token_service_of_the_upstreams_is_asked_by_the_callers_name(tmp_path: Path) -> None:
    """authorize = "upstream" with Bearer: the caller's password goes to the realm, its token to the registry."""
    async with private(tmp_path, "bearer", authorize="upstream") as (town, standin, image):
        assert await pulled(town.client(ADMIN), image) == {200}
        standin.forget()
        standin.bearer = Bearer(*ALICE)
        assert await pulled(town.client(host="mirror", credential=basic(*ALICE)), image) == {200}
        assert shown(standin, "token") == [basic(*ALICE)]
        standin.forget()
        assert await pulled(town.client(host="mirror", credential=basic("alice", "wrong")), image) == {401}


async def test_a_caller_admitted_upstream_is_not_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9111 section 5.2.2.7: caches on the way must not keep it for others; nor does the express lane take it."""
    lane_of(monkeypatch)
    async with private(tmp_path, authorize="upstream") as (town, standin, image):
        assert await pulled(town.client(ADMIN), image) == {200}
        standin.basic = ALICE
        alice = town.client(host="mirror", credential=basic(*ALICE))
        wire = await Wire.open(town.node)
        path = f"/v2/{NAME}/blobs/{image.layers[0]}"
        for _ in range(3):
            assert await express_answers(wire, alice.asking("GET", path)) == (200, 0)
            assert await express_answers(wire, town.client(host="mirror").asking("GET", path)) == (401, 0)
        assert (await alice.fetch(path))[1]["Cache-Control"].startswith("private")
        wire.close()


async def test_what_one_upstream_admits_says_nothing_about_another_or_about_ours(tmp_path: Path) -> None:
    """authorize = "upstream": by repository; our own repositories and other upstreams go by policies."""
    async with (
        Standin("127.0.0.2") as other,
        private(tmp_path, authorize="upstream", anonymous=()) as (
            town,
            standin,
            image,
        ),
    ):
        await push_image(town.client(ADMIN), "own/app", "v1")
        second = standin.add_image("team/second", "v1")
        assert await pulled(town.client(ADMIN), image) == {200}
        assert await pulled(town.client(ADMIN), second, "private.example/team/second") == {200}
        standin.basic = ALICE
        alice = town.client(host="mirror", credential=basic(*ALICE))
        assert await pulled(alice, image) == {200}
        assert (await alice.fetch("/v2/own/app/manifests/v1"))[0] == 401
        assert (await ask(alice, "POST", "/v2/own/new/blobs/uploads/"))[0] == 401
        assert (await ask(alice, "DELETE", f"/v2/{NAME}/manifests/v1"))[0] == 401
        standin.forget()
        assert await pulled(alice, second, "private.example/team/second") == {200}
        assert shown(standin) == [basic(*ALICE)]
        assert not other.seen


async def test_the_callers_credential_goes_nowhere_else(
    tmp_path: Path, events: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """upstream_rights.py: shown to that upstream only; not to another one, not in a log, not in the store."""
    async with Standin() as other:
        public = other.add_image("library/app", "v1")
        async with private(tmp_path, authorize="upstream", access_log=True) as (town, _, image):
            house = town.house
            extra = cached(other)
            house.routing.replace({house.settings.home: [extra]})
            await house.upstreams.replace({house.settings.home: [*house.settings.upstreams, extra]})
            assert await pulled(town.client(ADMIN), image) == {200}
            for credential in (ALICE, ("alice", "mistyped")):
                client = town.client(host="mirror", credential=basic(*credential))
                await pulled(client, image)
                assert await pulled(client, public, "docker.io/library/app") == {200}
        assert other.seen
        assert not any("authorization" in seen.headers for seen in other.seen)
        secrets = [ALICE[1], "mistyped", basic(*ALICE)[6:], basic("alice", "mistyped")[6:]]
        said = repr(events) + "".join(capsys.readouterr())
        assert not [secret for secret in secrets if secret in said]
        stored = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
        assert not [secret for secret in secrets if secret.encode() in stored]


@pytest.mark.parametrize("case", ["of the public registry", "of a user who is gone", "not valid yet", "expired"])
async def test_a_token_of_ours_is_never_shown_to_an_upstream(tmp_path: Path, case: str) -> None:
    """upstream_rights.py: only a credential that upstream alone could know is shown to it; ours is a live secret."""
    async with private(tmp_path, authorize="upstream") as (town, standin, image):
        assert await pulled(town.client(ADMIN), image) == {200}
        leaver = await town.settle(Person(OWNER, "leaver", (READ_ONLY,)))
        now = time.time()
        credential = {
            "of the public registry": lambda: town.login(ADMIN, audience="ecr-public"),
            "of a user who is gone": lambda: town.login(leaver),
            "not valid yet": lambda: town.login(ADMIN, now=now + 3_600),
            "expired": lambda: town.login(ADMIN, now=now - 13 * 3_600),
        }[case]()
        await town.house.known.identities.keys.delete(OWNER, leaver.name, leaver.key_id)
        standin.forget()
        assert await pulled(town.client(host="mirror", credential=credential), image) <= {401, 403}
        assert not standin.seen


async def test_a_tag_that_upstream_does_not_have_takes_nothing_away(tmp_path: Path) -> None:
    """authorize = "upstream": "unknown" of a reference is no "denied" of the repository, for the next ten seconds."""
    async with private(tmp_path, authorize="upstream") as (town, standin, image):
        assert await pulled(town.client(ADMIN), image) == {200}
        standin.basic = ALICE
        alice = town.client(host="mirror", credential=basic(*ALICE))
        assert (await alice.fetch(f"/v2/{NAME}/manifests/no-such-tag"))[0] in (401, 404, 502)
        assert await pulled(alice, image) == {200}


# A7 over accounts and upstreams.


def naming(standin: Standin, name: str, digest: str, size: int) -> str:
    """Make the upstream's `name`:v1 an image that names `digest` as its layer; return the manifest's digest."""
    config = b'{"os":"linux"}'
    body = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": standin.add_blob(config),
            "size": len(config),
        },
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": size}],
    }
    return standin.add_manifest(name, "v1", json.dumps(body).encode(), OCI_MANIFEST)


@pytest.mark.parametrize("account", [OWNER, OTHER])
async def test_an_upstreams_manifest_does_not_open_a_blob_that_it_only_names(tmp_path: Path, account: str) -> None:
    """RELIABILITY A7: an evil upstream names the digest of a blob that was pushed to a private repository: 404."""
    async with (
        Standin() as evil,
        populated(tmp_path, upstreams=[cached(evil, root=False)], anonymous=("pull",)) as town,
    ):
        person = ADMIN if account == OWNER else STRANGER
        secret = await push_image(town.client(person, host=host_of(account)), "secret/app", "v1")
        await town.set_policy("secret/app", policy({**allow("*", "ecr:ListImages")}), account)
        digest = sha256(secret.layer)
        naming(evil, "evil/app", digest, len(secret.layer))
        naming(evil, "evil/manifest", secret.digest, len(secret.manifest))
        nobody = town.client(host="mirror")
        for _ in range(3):
            assert (await nobody.fetch("/v2/docker.io/evil/app/manifests/v1"))[0] == 200
            for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=0-3"})):
                path = f"/v2/docker.io/evil/app/blobs/{digest}"
                assert (await ask(nobody, method, path, headers=headers))[0] == 404, (method, headers)
            await nobody.fetch("/v2/docker.io/evil/manifest/manifests/v1")
            assert (await nobody.fetch(f"/v2/docker.io/evil/manifest/blobs/{secret.digest}"))[0] == 404
            assert (await nobody.fetch(f"/v2/docker.io/evil/manifest/manifests/{secret.digest}"))[0] == 404
        assert (await town.client(person, host=host_of(account)).fetch(f"/v2/secret/app/blobs/{digest}"))[0] == 200


async def test_an_upstream_that_has_the_bytes_may_give_them(tmp_path: Path) -> None:
    """RELIABILITY A7: who has the blob gives nothing away; and only through the repository that it has it in."""
    async with (
        Standin() as evil,
        populated(tmp_path, upstreams=[cached(evil, root=False)], anonymous=("pull",)) as town,
    ):
        secret = await push_image(town.client(STRANGER, host=host_of(OTHER)), "secret/app", "v1")
        digest = evil.add_blob(secret.layer)
        naming(evil, "evil/app", digest, len(secret.layer))
        nobody = town.client(host="mirror")
        assert (await nobody.fetch("/v2/docker.io/evil/app/manifests/v1"))[0] == 200
        assert (await nobody.fetch(f"/v2/docker.io/evil/app/blobs/{digest}"))[2] == secret.layer
        assert evil.count("blob", digest) >= 1
        assert (await nobody.fetch(f"/v2/secret/app/blobs/{digest}"))[0] == 404
        assert (await town.client(host=host_of(OTHER)).fetch(f"/v2/secret/app/blobs/{digest}"))[0] == 401
        evil.blobs.clear()
        assert (await nobody.fetch(f"/v2/docker.io/evil/other/blobs/{digest}"))[0] == 404


async def test_a_private_upstreams_blob_is_not_open_through_a_public_one(tmp_path: Path) -> None:
    """RELIABILITY A7, A16: a public upstream names a private one's layer: the bytes are here, and stay there."""
    async with Standin() as evil, private(tmp_path) as (town, _, image):
        house = town.house
        rule = cached(evil)
        house.routing.replace({house.settings.home: [rule]})
        await house.upstreams.replace({house.settings.home: [*house.settings.upstreams, rule]})
        assert await pulled(town.client(ADMIN), image) == {200}
        naming(evil, "evil/app", image.layers[0], 15)
        nobody = town.client(host="mirror")
        for _ in range(3):
            assert (await nobody.fetch("/v2/docker.io/evil/app/manifests/v1"))[0] == 200
            for method in ("GET", "HEAD"):
                path = f"/v2/docker.io/evil/app/blobs/{image.layers[0]}"
                assert (await ask(nobody, method, path))[0] == 404


async def test_a_mistyped_password_of_ours_is_never_shown_to_an_upstream(tmp_path: Path) -> None:
    """callers.py: whose name can log in here has no business upstream; a changed password is a secret still."""
    async with private(tmp_path, authorize="upstream") as (town, standin, image):
        for person, host in ((PULLER, "mirror"), (STRANGER, "mirror"), (STRANGER, host_of(OTHER))):
            for password in (f"{person.password}r", person.password):
                if (person, password) == (PULLER, PULLER.password):
                    continue
                client = town.client(host=host, credential=basic(person.name, password))
                assert await pulled(client, image) <= {401, 403, 404}
        assert not shown(standin)


async def test_who_has_an_upstreams_credential_may_log_in_with_it(tmp_path: Path) -> None:
    """CLIENTS section 2: docker sends a credential only where `/v2/` asked for one; it is judged at the pull.

    RELIABILITY A23: no answer at `/v2/` tells whether a name is one of ours.
    """
    host = Host("login.test", login="basic")
    async with private(tmp_path, authorize="upstream", hosts=(host,)) as (town, standin, image):
        assert await pulled(town.client(ADMIN), image) == {200}
        standin.basic = ALICE
        assert (await town.client(host=host.name).fetch("/v2/"))[0] == 401
        right = town.client(host=host.name, credential=basic(*ALICE))
        assert (await right.fetch("/v2/"))[0] == 200
        assert await pulled(right, image) == {200}
        for name in ("mallory", PULLER.name):
            wrong = town.client(host=host.name, credential=basic(name, "x"))
            assert (await wrong.fetch("/v2/"))[0] == 200
            assert await pulled(wrong, image) == {401}


async def test_what_a_policy_denies_no_upstream_lets_in(tmp_path: Path) -> None:
    """ECR.md 2.1, evaluation step 1: an explicit Deny wins everywhere, also over authorize = "upstream"."""
    async with private(tmp_path, authorize="upstream") as (town, standin, image):
        assert await pulled(town.client(ADMIN), image) == {200}
        standin.basic = ALICE
        alice = town.client(host="mirror", credential=basic(*ALICE))
        assert await pulled(alice, image) == {200}
        await town.set_policy(NAME, policy(deny("*", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")))
        assert await pulled(alice, image) == {401}


@pytest.mark.parametrize("rights", ["a name", "an alias"])
async def test_a_name_is_authorized_as_what_it_is_served_from(tmp_path: Path, rights: str) -> None:
    """RELIABILITY A16, A11: a name that falls through to the root upstream is that upstream's, also for the API."""
    secret = tmp_path / "upstream.password"
    secret.write_text(NODE[1])
    secret.chmod(0o600)
    some = allow(None, "ecr:BatchGetImage", "ecr:BatchImportUpstreamImage", "ecr:CreateRepository")
    team = {**some, "Resource": f"arn:aws:ecr:{REGION}:{OWNER}:repository/team/*"}
    hub = f"arn:aws:ecr:{REGION}:{OWNER}:repository/docker.io/library/nginx"
    all_but_hub = (allow(None, "ecr:*"), {"Effect": "Deny", "Action": "ecr:*", "Resource": hub})
    limited = Person(OWNER, "limited", inline=(team,) if rights == "a name" else all_but_hub)
    async with Standin() as standin:
        standin.basic = NODE
        for name in ("team/secret", "library/nginx"):
            standin.add_image(name, "v1")
        rule = cached(standin, username=NODE[0], password_file=str(secret))
        async with populated(tmp_path, people=(ADMIN, limited), upstreams=[rule], anonymous=()) as town:
            for name in ("docker.io/team/secret", "docker.io/library/nginx"):
                asked = {"repositoryName": name, "imageIds": [{"imageTag": "v1"}]}
                assert (await town.call(ADMIN, "ecr", "BatchGetImage", **asked))[1]["failures"] == []
            names = ("team/secret",) if rights == "a name" else ("nginx", "docker.io/nginx", "library/nginx")
            for name in names:
                for operation, more in (
                    ("BatchGetImage", {"imageIds": [{"imageTag": "v1"}]}),
                    ("DeleteRepository", {"force": True}),
                ):
                    if (rights, operation) == ("a name", "DeleteRepository"):
                        continue
                    _, answer = await town.call(limited, "ecr", operation, repositoryName=name, **more)
                    kind = answer.get("__type", "")
                    assert kind in ("AccessDeniedException", "RepositoryNotFoundException"), (name, operation, answer)
                    assert (operation, kind) != ("BatchGetImage", "RepositoryNotFoundException")


@pytest.mark.parametrize("credential", ["Basic %%%", "Basic QVdT", "Basic", "Bearer x", "Digest x"])
async def test_what_is_no_credential_at_all_is_refused_as_ever(tmp_path: Path, credential: str) -> None:
    """RELIABILITY A25: that upstreams are asked makes no malformed credential an anonymous caller's, or a 401 mute."""
    async with private(tmp_path, authorize="upstream") as (town, standin, image):
        await push_image(town.client(ADMIN), "own/app", "v1")
        client = town.client(host="mirror", credential=credential)
        for path in (f"/v2/{NAME}/manifests/{image.digest}", "/v2/own/app/manifests/v1"):
            status, headers, _ = await client.fetch(path)
            assert (status, headers.get("WWW-Authenticate", "")[:6]) == (401, "Basic "), path
        assert not shown(standin)
