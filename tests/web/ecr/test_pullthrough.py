"""Pull-through cache rules by the API: made, changed, deleted, validated, and what they do to names."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from control_calls import NOWHERE, ControlCalls, control_calls
from registries import HOME
from standin import Bearer, Standin

from mirror.aws.principals import root_of
from mirror.oci.names import Registry, Repository
from mirror.rules.pullthrough import RULES_MAX
from mirror.rules.routing import UpstreamRule

A = HOME.account
OTHER = "222222222222"
SECRET = "ecr-pullthroughcache/hub"
FILE = (
    UpstreamRule("docker.io", "https://registry-1.docker.io", root=True),
    UpstreamRule("corp", "https://registry.corp.test:8443", prefix="internal/corp", upstream_prefix="images"),
)


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin() as standin:
        yield standin


@pytest.fixture
async def configured(tmp_path: Path) -> AsyncIterator[ControlCalls]:
    """A node whose file has upstreams."""
    async with control_calls(tmp_path / "data", upstreams=FILE) as opened:
        yield opened


async def pull(ecr: ControlCalls, name: str, tag: str = "v1") -> list[str]:
    """Pull as an SDK does; return the manifest, or what failed."""
    answer = await ecr("BatchGetImage", repositoryName=name, imageIds=[{"imageTag": tag}])
    return [one["imageManifest"] for one in answer["images"]] or [one["failureCode"] for one in answer["failures"]]


async def names(ecr: ControlCalls) -> list[str]:
    return [one["repositoryName"] for one in (await ecr("DescribeRepositories"))["repositories"]]


@pytest.mark.parametrize(
    ("prefix", "url", "kind"),
    [
        ("ecr-public", "public.ecr.aws", "ecr-public"),
        ("kubernetes", "registry.k8s.io", "k8s"),
        ("docker-hub", "registry-1.docker.io", "docker-hub"),
        ("azure", "myname.azurecr.io", "azure-container-registry"),
        ("team/a", "http://registry.corp.test:5000", None),
    ],
)
async def test_a_rule_is_made_and_described(ecr: ControlCalls, prefix: str, url: str, kind: str | None) -> None:
    """ECR.md 2.5: `upstreamRegistry` follows from the URL."""
    made = await ecr("CreatePullThroughCacheRule", ecrRepositoryPrefix=prefix, upstreamRegistryUrl=url)
    assert type(made.pop("createdAt")) is float
    expected = {
        "ecrRepositoryPrefix": prefix,
        "upstreamRegistryUrl": url,
        "registryId": A,
        "upstreamRepositoryPrefix": "ROOT",
    }
    assert made == expected | ({"upstreamRegistry": kind} if kind else {})
    [shown] = (await ecr("DescribePullThroughCacheRules"))["pullThroughCacheRules"]
    assert {**shown, "createdAt": 0} == {**made, "createdAt": 0}


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"upstreamRegistryUrl": "ftp://registry.test"}, "UnsupportedUpstreamRegistryException"),
        ({"upstreamRegistryUrl": "user:word@registry.test"}, "UnsupportedUpstreamRegistryException"),
        ({"upstreamRegistryUrl": "registry.test/path"}, "UnsupportedUpstreamRegistryException"),
        ({"upstreamRegistry": "quay"}, "UnsupportedUpstreamRegistryException"),
        ({"upstreamRegistry": "something"}, "ValidationException"),
        ({"ecrRepositoryPrefix": "Bad"}, "ValidationException"),
        ({"ecrRepositoryPrefix": "ROOT", "upstreamRepositoryPrefix": "ab"}, "InvalidParameterException"),
        ({"credentialArn": "arn:aws:secretsmanager:us-east-1:000000000000:secret:other"}, "ValidationException"),
        (
            {"credentialArn": f"arn:aws:secretsmanager:us-east-1:{A}:secret:ecr-pullthroughcache/none-AbCdEf"},
            "SecretNotFoundException",
        ),
        (
            {"credentialArn": f"arn:aws:secretsmanager:us-east-1:{OTHER}:secret:ecr-pullthroughcache/hub-AbCdEf"},
            "UnableToAccessSecretException",
        ),
    ],
)
async def test_a_bad_rule_is_not_made(ecr: ControlCalls, given: dict[str, str], error: str) -> None:
    """ECR.md 1.1 and 2.5."""
    call = {"ecrRepositoryPrefix": "hub", "upstreamRegistryUrl": "registry-1.docker.io", **given}
    assert (await ecr.refused("CreatePullThroughCacheRule", **call)).type == error
    assert (await ecr("DescribePullThroughCacheRules"))["pullThroughCacheRules"] == []
    assert list(ecr.house.routing.rules(HOME)) == []


async def test_a_prefix_has_one_rule(ecr: ControlCalls) -> None:
    """ECR.md 2.5; the slash at a prefix's end is implied."""
    call = {"upstreamRegistryUrl": "quay.io"}
    await ecr("CreatePullThroughCacheRule", ecrRepositoryPrefix="quay", **call)
    for prefix in ("quay", "quay/"):
        refusal = await ecr.refused("CreatePullThroughCacheRule", ecrRepositoryPrefix=prefix, **call)
        assert refusal.type == "PullThroughCacheRuleAlreadyExistsException"
    await ecr("CreatePullThroughCacheRule", principal=root_of(OTHER), ecrRepositoryPrefix="quay", **call)


async def test_rules_are_fifty_and_come_in_pages(ecr: ControlCalls) -> None:
    """ECR.md 1.3 and 2.5."""
    prefixes = [f"p{number:02}" for number in range(RULES_MAX)]
    for prefix in prefixes:
        await ecr("CreatePullThroughCacheRule", ecrRepositoryPrefix=prefix, upstreamRegistryUrl="quay.io")
    refusal = await ecr.refused("CreatePullThroughCacheRule", ecrRepositoryPrefix="px", upstreamRegistryUrl="quay.io")
    assert refusal.type == "LimitExceededException"
    pages = await ecr.pages("DescribePullThroughCacheRules", "pullThroughCacheRules", maxResults=30)
    assert [one["ecrRepositoryPrefix"] for page in pages for one in page] == prefixes
    asked = (await ecr("DescribePullThroughCacheRules", ecrRepositoryPrefixes=["p07"]))["pullThroughCacheRules"]
    assert [one["ecrRepositoryPrefix"] for one in asked] == ["p07"]
    refusal = await ecr.refused("DescribePullThroughCacheRules", ecrRepositoryPrefixes=["p07", "none"])
    assert refusal.type == "PullThroughCacheRuleNotFoundException"


async def test_the_files_upstreams_are_rules_that_only_the_file_changes(configured: ControlCalls) -> None:
    """The operator's `[[upstream]]` tables are rules of the home registry, and of no other."""
    ecr = configured
    shown = (await ecr("DescribePullThroughCacheRules"))["pullThroughCacheRules"]
    assert [
        (
            one["ecrRepositoryPrefix"],
            one["upstreamRegistryUrl"],
            one.get("upstreamRegistry"),
            one["upstreamRepositoryPrefix"],
        )
        for one in shown
    ] == [
        ("ROOT", "registry-1.docker.io", "docker-hub", "ROOT"),
        ("docker.io", "registry-1.docker.io", "docker-hub", "ROOT"),
        ("internal/corp", "registry.corp.test:8443", None, "images"),
    ]
    for prefix in ("ROOT", "docker.io", "internal/corp", "corp"):
        refusal = await ecr.refused(
            "CreatePullThroughCacheRule", ecrRepositoryPrefix=prefix, upstreamRegistryUrl="quay.io"
        )
        assert refusal.type == "PullThroughCacheRuleAlreadyExistsException"
    for operation in ("UpdatePullThroughCacheRule", "DeletePullThroughCacheRule"):
        refusal = await ecr.refused(operation, ecrRepositoryPrefix="docker.io")
        assert refusal.type == "ValidationException"
        assert refusal.message.endswith("is set by the node's configuration")
    assert (await ecr("DescribePullThroughCacheRules", registryId=OTHER))["pullThroughCacheRules"] == []
    await ecr("CreatePullThroughCacheRule", ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
    assert [rule.name for rule in ecr.house.routing.rules(HOME)] == ["docker.io", "corp", "quay"]
    assert set(ecr.upstreams.names(HOME)) == {"docker.io", "corp", "quay"}


@pytest.mark.parametrize(
    ("prefix", "upstream_prefix", "asked", "there"),
    [
        ("ecr-public", "ROOT", "ecr-public/my-app/image1", "my-app/image1"),
        ("ROOT", "ROOT", "my-app/image1", "my-app/image1"),
        ("team-a", "team-a", "team-a/myapp/image1", "team-a/myapp/image1"),
        ("my-app", "upstream-app", "my-app/image1", "upstream-app/image1"),
    ],
)
async def test_names_are_mapped(
    ecr: ControlCalls, standin: Standin, prefix: str, upstream_prefix: str, asked: str, there: str
) -> None:
    """ECR.md 2.5, "Name mapping": each row, by a pull."""
    image = standin.add_image(there, "v1")
    await ecr(
        "CreatePullThroughCacheRule",
        ecrRepositoryPrefix=prefix,
        upstreamRegistryUrl=standin.url,
        upstreamRepositoryPrefix=upstream_prefix,
    )
    assert await pull(ecr, asked) == [image.manifest.decode()]
    assert await names(ecr) == [asked]


async def test_a_deleted_rule_leaves_its_repositories(ecr: ControlCalls, standin: Standin) -> None:
    """ECR.md 2.5: "Delete keeps the repositories", and they take pushes from then on."""
    image = standin.add_image("app", "v1")
    made = await ecr("CreatePullThroughCacheRule", ecrRepositoryPrefix="hub", upstreamRegistryUrl=standin.url)
    await pull(ecr, "hub/app")
    gone = await ecr("DeletePullThroughCacheRule", ecrRepositoryPrefix="hub")
    assert gone == made
    await standin.stop()
    assert await names(ecr) == ["hub/app"]
    assert ecr.house.repositories.get(HOME, "hub/app") == Repository(HOME, "", "hub/app")
    assert await pull(ecr, "hub/app") == [image.manifest.decode()]
    await ecr.push("hub/app", "own")
    refusal = await ecr.refused("DeletePullThroughCacheRule", ecrRepositoryPrefix="hub")
    assert refusal.type == "PullThroughCacheRuleNotFoundException"


async def test_a_rule_made_again_takes_its_repositories_back(ecr: ControlCalls, standin: Standin) -> None:
    """A rule that is deleted and made anew, as Terraform changes one, loses nothing."""
    image = standin.add_image("app", "v1")
    call = {"ecrRepositoryPrefix": "hub", "upstreamRegistryUrl": standin.url}
    await ecr("CreatePullThroughCacheRule", **call)
    await pull(ecr, "hub/app")
    asked = standin.count("manifest")
    await ecr("DeletePullThroughCacheRule", ecrRepositoryPrefix="hub")
    await ecr("CreatePullThroughCacheRule", **call)
    assert ecr.house.repositories.get(HOME, "hub/app") == Repository(HOME, "hub", "app")
    assert await pull(ecr, "hub/app") == [image.manifest.decode()]
    assert await names(ecr) == ["hub/app"]
    assert standin.count("manifest") == asked


async def test_a_root_rule_comes_and_goes(ecr: ControlCalls, standin: Standin) -> None:
    """ECR.md 2.5: ROOT is for names without another rule; our own repositories come first and stay."""
    standin.add_image("cached/app", "v1")
    standin.add_image("own", "v1")
    await ecr.make("own")
    await ecr("CreatePullThroughCacheRule", ecrRepositoryPrefix="ROOT", upstreamRegistryUrl=standin.url)
    await pull(ecr, "cached/app")
    assert await pull(ecr, "own") == ["ImageNotFound"]
    assert ecr.house.repositories.get(HOME, "cached/app") == Repository(HOME, "ROOT", "cached/app")
    await ecr("CreatePullThroughCacheRule", ecrRepositoryPrefix="other", upstreamRegistryUrl=standin.url)
    assert ecr.house.repositories.get(HOME, "cached/app") == Repository(HOME, "ROOT", "cached/app")
    await ecr("DeletePullThroughCacheRule", ecrRepositoryPrefix="ROOT")
    assert ecr.house.repositories.get(HOME, "cached/app") == Repository(HOME, "", "cached/app")
    assert sorted(await names(ecr)) == ["cached/app", "own"]


async def test_a_longer_prefix_takes_over_and_gives_back(ecr: ControlCalls, standin: Standin) -> None:
    """ECR.md 2.5: among overlapping prefixes the longest wins; a repository keeps its name throughout."""
    standin.add_image("a/app", "v1")
    await ecr("CreatePullThroughCacheRule", ecrRepositoryPrefix="team", upstreamRegistryUrl=standin.url)
    await pull(ecr, "team/a/app")
    await ecr("CreatePullThroughCacheRule", ecrRepositoryPrefix="team/a", upstreamRegistryUrl=standin.url)
    assert ecr.house.repositories.get(HOME, "team/a/app") == Repository(HOME, "team/a", "app")
    assert await names(ecr) == ["team/a/app"]
    await ecr("DeletePullThroughCacheRule", ecrRepositoryPrefix="team/a")
    assert await names(ecr) == ["team/a/app"]
    assert ecr.house.repositories.find(HOME, "team/a/app") is not None


async def test_what_a_credential_fetched_is_not_given_to_a_public_rule(ecr: ControlCalls, standin: Standin) -> None:
    """RELIABILITY A7: repositories of a private upstream never become those of a public one."""
    standin.basic = ("robot", "word")
    standin.add_image("a/app", "v1")
    await ecr.secrets.put(HOME, SECRET, "robot", "word")
    arn = ecr.secrets.arn(HOME, SECRET)
    call = {"upstreamRegistryUrl": standin.url}
    await ecr("CreatePullThroughCacheRule", ecrRepositoryPrefix="team", credentialArn=arn, **call)
    assert len(await pull(ecr, "team/a/app")) == 1
    await ecr("CreatePullThroughCacheRule", ecrRepositoryPrefix="team/a", **call)
    assert await names(ecr) == []
    # Our own has no such name: what the upstream denies to everybody is unknown.
    refusal = await pull(ecr, "team/a/app")
    assert refusal == ["ImageNotFound"]


async def test_a_secret_that_changes_is_used_by_the_next_login(ecr: ControlCalls, standin: Standin) -> None:
    """ECR.md 2.5: `credentialArn`; no restart between."""
    standin.basic = ("robot", "one")
    for tag in ("v1", "v2"):
        standin.add_image("app", tag)
    await ecr.secrets.put(HOME, SECRET, "robot", "one")
    arn = ecr.secrets.arn(HOME, SECRET)
    made = await ecr(
        "CreatePullThroughCacheRule", ecrRepositoryPrefix="hub", upstreamRegistryUrl=standin.url, credentialArn=arn
    )
    assert made["credentialArn"] == arn
    assert len(await pull(ecr, "hub/app")) == 1
    standin.basic = ("robot", "two")
    assert await pull(ecr, "hub/app", "v2") == ["UpstreamAccessDenied"]
    await ecr.secrets.put(HOME, SECRET, "robot", "two")
    assert "{" in (await pull(ecr, "hub/app", "v2"))[0]


async def test_a_rule_is_updated(ecr: ControlCalls, standin: Standin) -> None:
    """ECR.md 2.5: Update changes the secret and the role only."""
    await ecr.secrets.put(HOME, SECRET, "robot", "word")
    arn = ecr.secrets.arn(HOME, SECRET)
    await ecr("CreatePullThroughCacheRule", ecrRepositoryPrefix="hub", upstreamRegistryUrl=standin.url)
    answer = await ecr("UpdatePullThroughCacheRule", ecrRepositoryPrefix="hub", credentialArn=arn)
    assert answer.pop("updatedAt") > 1_700_000_000
    assert answer == {
        "ecrRepositoryPrefix": "hub",
        "registryId": A,
        "credentialArn": arn,
        "upstreamRepositoryPrefix": "ROOT",
    }
    assert ecr.house.routing.rules(HOME)[0].has_credential
    await ecr.secrets.delete(HOME, SECRET)
    refusal = await ecr.refused("UpdatePullThroughCacheRule", ecrRepositoryPrefix="hub", credentialArn=arn)
    assert refusal.type == "SecretNotFoundException"
    refusal = await ecr.refused("UpdatePullThroughCacheRule", ecrRepositoryPrefix="none", credentialArn=arn)
    assert refusal.type == "PullThroughCacheRuleNotFoundException"


@pytest.mark.parametrize("way", ["basic", "bearer"])
async def test_a_rule_is_validated_by_its_upstream(ecr: ControlCalls, standin: Standin, way: str) -> None:
    """ECR.md 2.5: an answer either way; the credential is tried."""
    if way == "basic":
        standin.basic = ("robot", "word")
    else:
        standin.bearer = Bearer("robot", "word")
    await ecr.secrets.put(HOME, SECRET, "robot", "word")
    arn = ecr.secrets.arn(HOME, SECRET)
    await ecr(
        "CreatePullThroughCacheRule", ecrRepositoryPrefix="hub", upstreamRegistryUrl=standin.url, credentialArn=arn
    )
    expected = {
        "ecrRepositoryPrefix": "hub",
        "registryId": A,
        "upstreamRegistryUrl": standin.url,
        "credentialArn": arn,
        "upstreamRepositoryPrefix": "ROOT",
    }
    assert await ecr("ValidatePullThroughCacheRule", ecrRepositoryPrefix="hub") == {**expected, "isValid": True}
    await ecr.secrets.put(HOME, SECRET, "robot", "wrong")
    if standin.bearer:
        standin.bearer.revoke()
    answer = await ecr("ValidatePullThroughCacheRule", ecrRepositoryPrefix="hub")
    failure = answer.pop("failure")
    assert answer == {**expected, "isValid": False}
    assert "hub" in failure
    assert "wrong" not in failure
    if way == "basic":  # those who ask for the same token within a second share its refusal
        await ecr.secrets.delete(HOME, SECRET)
        answer = await ecr("ValidatePullThroughCacheRule", ecrRepositoryPrefix="hub")
        assert "secret of upstream hub" in answer["failure"]


async def test_a_silent_upstream_is_no_valid_one(ecr: ControlCalls, standin: Standin) -> None:
    """ECR.md 2.5: HTTP 200 even when invalid."""
    await ecr("CreatePullThroughCacheRule", ecrRepositoryPrefix="hub", upstreamRegistryUrl=standin.url)
    assert (await ecr("ValidatePullThroughCacheRule", ecrRepositoryPrefix="hub"))["isValid"] is True
    await standin.stop()
    answer = await ecr("ValidatePullThroughCacheRule", ecrRepositoryPrefix="hub")
    assert answer["isValid"] is False
    assert answer["failure"]
    refusal = await ecr.refused("ValidatePullThroughCacheRule", ecrRepositoryPrefix="none")
    assert refusal.type == "PullThroughCacheRuleNotFoundException"


async def test_rules_are_there_after_a_restart(tmp_path: Path, standin: Standin) -> None:
    """Rules are documents, brought into force at the start; what was cached is still theirs."""
    image = standin.add_image("app", "v1")
    for registry in (A, OTHER):
        async with control_calls(tmp_path / "data") as ecr:
            call = {"ecrRepositoryPrefix": "hub", "upstreamRegistryUrl": standin.url}
            await ecr("CreatePullThroughCacheRule", principal=root_of(registry), **call)
            assert await pull(ecr, "hub/app") == [image.manifest.decode()]
    asked = standin.count("manifest")
    async with control_calls(tmp_path / "data") as ecr:
        assert await pull(ecr, "hub/app") == [image.manifest.decode()]
        assert standin.count("manifest") == asked
        assert len(ecr.house.routing.rules(Registry(OTHER))) == 1
        assert await names(ecr) == ["hub/app"]


async def test_nobody_has_the_node_ask_its_own_link(ecr: ControlCalls) -> None:
    """RELIABILITY A18: a rule for the metadata service is answered by nobody, however its address is spelled."""
    async with Standin(NOWHERE) as forbidden:
        for number, host in enumerate((NOWHERE, f"[::ffff:{NOWHERE}]")):
            prefix, url = f"meta{number}", f"http://{host}:{forbidden.port}"
            await ecr("CreatePullThroughCacheRule", ecrRepositoryPrefix=prefix, upstreamRegistryUrl=url)
            answer = await ecr("ValidatePullThroughCacheRule", ecrRepositoryPrefix=prefix)
            assert answer["isValid"] is False
            assert "must not" in answer["failure"] or "not one" in answer["failure"] or "forbid" in answer["failure"]
        assert forbidden.seen == []
