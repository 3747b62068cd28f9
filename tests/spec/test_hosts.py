"""Hosts: what a client writes into Host says which registry it means, and accounts do not see each other."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from accounts import ADMIN, DOMAIN, HOME, OTHER, OWNER, PULLER, REGION, STRANGER, Town, arn_of, host_of, populated
from pushing import PushedImage, ask, code_of, push_image, sha256

from mirror.config.settings import Host

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME = "team/app"
FORMS = [
    f"{OWNER}.dkr.ecr.{REGION}.{DOMAIN}",
    f"{OWNER}.dkr.ecr.{REGION}.{DOMAIN}:5000",
    f"{OWNER}.dkr.ecr.{REGION}.{DOMAIN}.",
    f"{OWNER}.dkr.ecr.{REGION}.{DOMAIN}.:5000",
    f"{OWNER}.DKR.ECR.{REGION.upper()}.{DOMAIN.title()}",
    f"{OWNER}.dkr-ecr.{REGION}.{DOMAIN}",
    f"{OWNER}.dkr.ecr-fips.{REGION}.{DOMAIN}",
    f"{OWNER}.dkr-ecr-fips.{REGION}.{DOMAIN}",
]
NAMED = (
    Host("other.example", account=OTHER, login="basic"),
    Host("home.example"),
    Host("tokens.example", account=OTHER, login="token"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with populated(tmp_path_factory.mktemp("town"), hosts=NAMED) as town:
        yield town


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def images(town: Town) -> dict[str, PushedImage]:
    """The same name in both accounts, with different bytes."""
    return {
        OWNER: await push_image(town.client(ADMIN), NAME, "v1", "ours"),
        OTHER: await push_image(town.client(STRANGER, host=host_of(OTHER)), NAME, "v1", "theirs"),
    }


@pytest.mark.parametrize("form", FORMS)
async def test_each_form_of_a_registrys_name_means_that_registry(
    town: Town, images: dict[str, PushedImage], form: str
) -> None:
    """ECR.md 3.2, "Host forms"; RFC 9110 section 4.2.3: case and the port do not matter, nor the root's dot."""
    theirs = form.replace(OWNER, OTHER)
    client = town.client(STRANGER, host=theirs)
    status, headers, body = await client.fetch(f"/v2/{NAME}/manifests/v1")
    assert (status, body) == (200, images[OTHER].manifest)
    status, headers, _ = await town.client(host=theirs).fetch("/v2/")
    assert (status, f"https://{OTHER}" in headers["WWW-Authenticate"]) == (401, False)
    assert f'realm="http://{host_of(OTHER)}:{town.node.port}/"' in headers["WWW-Authenticate"]


@pytest.mark.parametrize("form", FORMS)
async def test_a_registry_of_another_region_is_not_here(town: Town, form: str) -> None:
    """ECR.md 3.3, table: "Could not resolve registry id from host"; nothing of the home registry is shown."""
    elsewhere = form.lower().replace(REGION, "eu-west-1")
    client = town.client(ADMIN, host=elsewhere)
    for path in ("/v2/", "/v2/_catalog", f"/v2/{NAME}/manifests/v1", f"/v2/{NAME}/tags/list"):
        status, _, body = await client.fetch(path)
        assert (status, code_of(body)) == (404, "NAME_UNKNOWN"), path
        assert f"Could not resolve registry id from host {elsewhere}" in body.decode()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:5000", "[::1]:5000", "mirror", DOMAIN, f"1234.dkr.ecr.{REGION}.{DOMAIN}", f"{host_of(OTHER)}.evil.com"]
    + [f"x{host_of(OTHER)}", f"{OTHER}xdkr.ecr.{REGION}.{DOMAIN}", f"{OTHER}.dkr.ecr.{REGION}.{DOMAIN[:-1]}"],
)
async def test_any_other_name_means_the_home_registry(town: Town, images: dict[str, PushedImage], host: str) -> None:
    """hosts.py: only names of the configuration mean anything; and no answer repeats another one (A26)."""
    assert (await town.client(ADMIN, host=host).fetch(f"/v2/{NAME}/manifests/v1"))[2] == images[OWNER].manifest
    assert (await town.client(STRANGER, host=host).fetch(f"/v2/{NAME}/manifests/v1"))[0] == 403
    status, headers, _ = await town.client(host=host).fetch(f"/v2/{NAME}/manifests/v1")
    assert status == 401
    assert f'realm="http://{host_of(OWNER)}:{town.node.port}/"' in headers["WWW-Authenticate"]


async def test_the_same_name_in_two_accounts_is_two_repositories(town: Town, images: dict[str, PushedImage]) -> None:
    """ECR.md 5 item 12: accounts isolate state, by tag, by digest, for layers and lists."""
    ours, theirs = images[OWNER], images[OTHER]
    own, foreign = town.client(ADMIN), town.client(STRANGER, host=host_of(OTHER))
    assert (await own.fetch(f"/v2/{NAME}/manifests/v1"))[2] == ours.manifest
    assert (await foreign.fetch(f"/v2/{NAME}/manifests/v1"))[2] == theirs.manifest
    assert (await own.fetch(f"/v2/{NAME}/manifests/{theirs.digest}"))[0] == 404
    assert (await foreign.fetch(f"/v2/{NAME}/manifests/{ours.digest}"))[0] == 404
    await push_image(own, "only/ours", "v1")
    status, _, body = await foreign.fetch("/v2/only/ours/manifests/v1")
    assert (status, code_of(body)) == (404, "NAME_UNKNOWN")
    assert b"only/ours" not in (await foreign.fetch("/v2/_catalog"))[2]
    assert b"only/ours" in (await own.fetch("/v2/_catalog"))[2]


async def test_a_user_of_one_account_is_denied_in_the_other_whatever_is_there(
    town: Town, images: dict[str, PushedImage]
) -> None:
    """ECR.md 2.1, evaluation step 4: without a resource policy there, 403, also for what is not there (A7, A10)."""
    for person, account in ((STRANGER, OWNER), (ADMIN, OTHER), (PULLER, OTHER)):
        client = town.client(person, host=host_of(account))
        for name in (NAME, "no/such"):
            status, _, body = await client.fetch(f"/v2/{name}/manifests/v1")
            assert (status, code_of(body)) == (403, "DENIED")
            assert f"User: {person.arn} is not authorized to perform: ecr:BatchGetImage" in body.decode()
            assert f"on resource: {arn_of(account, name)} " in body.decode()
        assert (await ask(client, "POST", f"/v2/{NAME}/blobs/uploads/"))[0] == 403
        assert (await client.fetch("/v2/_catalog"))[2] == b'{"repositories":[]}'
    del images


async def test_a_layer_of_one_account_cannot_be_mounted_into_the_other(
    town: Town, images: dict[str, PushedImage]
) -> None:
    """RELIABILITY A9 across accounts: 202, as for a blob that nobody has; by name, by any name, and not by digest."""
    layer = images[OWNER].layer
    foreign = town.client(STRANGER, host=host_of(OTHER))
    for source in ("", f"&from={NAME}", f"&from={OWNER}/{NAME}"):
        path = f"/v2/mounted/app/blobs/uploads/?mount={sha256(layer)}{source}"
        assert (await ask(foreign, "POST", path))[0] == 202, source
    assert (await foreign.head(f"/v2/{NAME}/blobs/{sha256(layer)}")).status == 404


async def test_named_hosts_mean_what_the_configuration_says(town: Town, images: dict[str, PushedImage]) -> None:
    """Configuration, [[host]]: an account of its own or the node's, and its own way to log in."""
    for host, account, person in (("other.example", OTHER, STRANGER), ("HOME.example.:80", OWNER, ADMIN)):
        assert (await town.client(person, host=host).fetch(f"/v2/{NAME}/manifests/v1"))[2] == images[account].manifest
    status, headers, body = await town.client(host="other.example").fetch("/v2/")
    assert (status, body) == (401, b"Not Authorized\n")
    assert (await town.client(host="home.example").fetch("/v2/"))[0] == 200
    status, headers, _ = await town.client(host="tokens.example").fetch("/v2/")
    assert (status, headers["WWW-Authenticate"]) == (
        401,
        f'Bearer realm="http://tokens.example:{town.node.port}/token/",service="tokens.example"',
    )


async def test_what_the_home_registry_shows_to_everybody_no_other_account_does(tmp_path: Path) -> None:
    """authority.py: `[access] anonymous` opens the home registry, and only that one."""
    async with populated(tmp_path, anonymous=("pull", "push", "delete"), home=HOME) as town:
        image = await push_image(town.client(host="mirror"), NAME, "v1")
        await push_image(town.client(STRANGER, host=host_of(OTHER)), NAME, "v1")
        assert (await town.client().fetch(f"/v2/{NAME}/manifests/v1"))[2] == image.manifest
        for method, path in (
            ("GET", f"/v2/{NAME}/manifests/v1"),
            ("GET", f"/v2/{NAME}/tags/list"),
            ("POST", f"/v2/{NAME}/blobs/uploads/"),
            ("DELETE", f"/v2/{NAME}/manifests/v1"),
            ("GET", "/v2/_catalog"),
        ):
            assert (await ask(town.client(host=host_of(OTHER)), method, path))[0] == 401, path
