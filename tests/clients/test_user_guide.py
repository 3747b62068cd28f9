"""The AWS user guide's getting-started pages, followed with the stock CLI and real clients: only names are others.

Source: Amazon ECR user guide, "Getting started with Amazon ECR using the AWS CLI"; ECR Public user guide, "Getting
started"; issue 3, "Proof".
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.clients.accounts import ACCOUNT, OTHER, REGION, Aws, EcrNode, failed
from tests.clients.client import Unavailable
from tests.clients.daemons import attempt, client_env, run, which
from tests.clients.dockerd import Dockerd
from tests.clients.images import Image, Workshop
from tests.clients.programs import find

pytestmark = pytest.mark.clients

PULLS: Final = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EcrNode]:
    node = EcrNode(tmp_path_factory.mktemp("ecr"))
    node.start()
    yield node
    node.stop()


def user(node: EcrNode, name: str) -> Aws:
    try:
        return Aws(node, name)
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def root(node: EcrNode) -> Aws:
    return user(node, "root")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    if which("buildah") is None or which("busybox") is None:
        pytest.skip("no real image without buildah and busybox")
    return Workshop(tmp_path_factory.mktemp("workshop")).build("hello-world")


@pytest.fixture(scope="module")
def docker(node: EcrNode, tmp_path_factory: pytest.TempPathFactory, image: Image) -> Iterator[Dockerd]:
    try:
        dockerd = Dockerd(tmp_path_factory.mktemp("dockerd"), f"127.0.0.1:{node.port}")
    except Unavailable as reason:
        pytest.skip(str(reason))
    archive = image.layout.parent / "hello.tar"
    run(["skopeo", "copy", "--quiet", f"oci:{image.layout}:latest", f"docker-archive:{archive}:hello-world:latest"])
    dockerd._docker("load", "--input", str(archive))
    yield dockerd
    dockerd.close()


@dataclass(frozen=True)
class Skopeo:
    """skopeo or podman with a home of its own: both log in by the same library."""

    program: str
    env: dict[str, str]

    def login(self, host: str, password: str, name: str = "AWS") -> None:
        words = [self.program, "login", "--tls-verify=false", "--username", name, "--password-stdin", host]
        run(words, self.env, said=password)

    def push(self, image: Image, reference: str) -> None:
        source, target = f"oci:{image.layout}:latest", f"docker://{reference}"
        run(["skopeo", "copy", "--all", "--quiet", "--dest-tls-verify=false", source, target], self.env)

    def digest(self, reference: str) -> str:
        words = ["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{reference}"]
        return run(words, self.env).strip()


@pytest.fixture(params=["skopeo", "podman"])
def tool(request: pytest.FixtureRequest, tmp_path: Path) -> Skopeo:
    if which(request.param) is None or which("skopeo") is None:
        pytest.skip(f"{request.param} is missing")
    return Skopeo(request.param, client_env(tmp_path / "home"))


def test_docker_follows_the_private_page(node: EcrNode, root: Aws, docker: Dockerd) -> None:
    """ECR user guide, "Getting started": steps 2 to 7, word for word but for the registry's name."""
    said = run(
        [docker.docker, "login", "--username", "AWS", "--password-stdin", node.private], docker.env, root.password()
    )
    assert "Login Succeeded" in said
    made = root("ecr", "create-repository", "--repository-name", "hello-repository", "--region", REGION)
    uri = made["repository"]["repositoryUri"]
    assert uri == f"{node.private}/hello-repository"
    docker._docker("tag", "hello-world:latest", f"{uri}:latest")
    docker._docker("push", f"{uri}:latest")
    docker._docker("pull", f"{uri}:latest")
    (image,) = root("ecr", "describe-images", "--repository-name", "hello-repository")["imageDetails"]
    assert image["imageTags"] == ["latest"]
    gone = root("ecr", "batch-delete-image", "--repository-name", "hello-repository", "--image-ids", "imageTag=latest")
    assert gone["imageIds"] == [{"imageDigest": image["imageDigest"], "imageTag": "latest"}]
    root("ecr", "delete-repository", "--repository-name", "hello-repository", "--force", "--region", REGION)
    assert "RepositoryNotFoundException" in root.refused(
        "ecr", "describe-repositories", "--repository-names", "hello-repository"
    )


def test_a_client_logs_in_pushes_and_pulls_with_a_token(node: EcrNode, root: Aws, image: Image, tool: Skopeo) -> None:
    """Issue 3, "Proof": podman and skopeo with a token from `aws ecr get-login-password`."""
    name = f"tokens/{tool.program}"
    root("ecr", "create-repository", "--repository-name", name)
    tool.login(node.private, root.password())
    tool.push(image, f"{node.private}/{name}:v1")
    assert tool.digest(f"{node.private}/{name}:v1") == image.index
    listed = root("ecr", "list-images", "--repository-name", name, "--filter", "tagStatus=TAGGED")["imageIds"]
    assert listed == [{"imageDigest": image.index, "imageTag": "v1"}]


def test_a_missing_repository_is_not_made_by_a_push(node: EcrNode, root: Aws, image: Image, tool: Skopeo) -> None:
    """ECR.md 5 item 17: only with a CREATE_ON_PUSH template."""
    tool.login(node.private, root.password())
    target = f"docker://{node.private}/never/made:v1"
    words = ["skopeo", "copy", "--dest-tls-verify=false", f"oci:{image.layout}:latest", target]
    assert f"does not exist in the registry with id '{ACCOUNT}'" in failed(attempt(words, tool.env))


def test_a_user_without_permissions_is_refused_in_ecrs_words(
    node: EcrNode, root: Aws, image: Image, tool: Skopeo
) -> None:
    """ECR.md 3.3: "User: ... is not authorized to perform: ... because no identity-based policy allows ..."."""
    name = f"refused/{tool.program}"
    root("ecr", "create-repository", "--repository-name", name)
    nobody = user(node, "nobody")
    tool.login(node.private, nobody.password())
    reference = f"docker://{node.private}/{name}:v1"
    pushed = failed(
        attempt(["skopeo", "copy", "--dest-tls-verify=false", f"oci:{image.layout}:latest", reference], tool.env)
    )
    assert "403 (Forbidden)" in pushed, "a push begins by HEAD, whose refusal has no words"
    said = failed(attempt(["skopeo", "inspect", "--tls-verify=false", reference], tool.env))
    assert f"User: arn:aws:iam::{ACCOUNT}:user/nobody is not authorized to perform: ecr:BatchGetImage" in said
    assert "because no identity-based policy allows the ecr:BatchGetImage action" in said
    assert "AccessDeniedException" in nobody.refused("ecr", "describe-repositories")


def test_another_account_pulls_by_repository_policy(node: EcrNode, root: Aws, image: Image, tool: Skopeo) -> None:
    """ECR.md 2.1: cross-account needs both sides; the policy names the other account."""
    name = f"shared/{tool.program}"
    root("ecr", "create-repository", "--repository-name", name)
    tool.login(node.private, root.password())
    tool.push(image, f"{node.private}/{name}:v1")
    tool.login(node.private, user(node, "reader").password())
    reference = f"docker://{node.private}/{name}:v1"
    words = ["skopeo", "inspect", "--tls-verify=false", reference]
    assert "because no resource-based policy allows" in failed(attempt(words, tool.env))
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"}, "Action": PULLS}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    root("ecr", "set-repository-policy", "--repository-name", name, "--policy-text", policy)
    assert tool.digest(f"{node.private}/{name}:v1") == image.index


def test_docker_follows_the_public_page(node: EcrNode, root: Aws, docker: Dockerd, tmp_path: Path) -> None:
    """ECR Public user guide, "Getting started": log in, create, push, and anybody pulls."""
    said = run(
        [docker.docker, "login", "--username", "AWS", "--password-stdin", node.public],
        docker.env,
        root.password("ecr-public"),
    )
    assert "Login Succeeded" in said
    made = root("ecr-public", "create-repository", "--repository-name", "my-repository", "--region", REGION)
    uri = made["repository"]["repositoryUri"]
    assert uri.startswith(f"{node.public}/")
    docker._docker("tag", "hello-world:latest", f"{uri}:latest")
    docker._docker("push", f"{uri}:latest")
    (image,) = root("ecr-public", "describe-images", "--repository-name", "my-repository")["imageDetails"]
    assert image["imageTags"] == ["latest"]
    stranger = Skopeo("skopeo", client_env(tmp_path / "stranger"))
    assert stranger.digest(f"{uri}:latest") == image["imageDigest"]
    run([docker.docker, "logout", node.public], docker.env)
    docker._docker("rmi", f"{uri}:latest")
    docker._docker("pull", f"{uri}:latest")
    root("ecr-public", "delete-repository", "--repository-name", "my-repository", "--force")


def test_the_credential_helper_logs_in_by_itself(tmp_path: Path) -> None:
    """Issue 3, section 2: amazon-ecr-credential-helper works when the configured domain is AWS-shaped."""
    helper = find("docker-credential-ecr-login")
    if helper is None:
        pytest.skip("docker-credential-ecr-login is missing: python tests/clients/programs.py")
    host = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
    node = EcrNode(tmp_path, domain="amazonaws.com", public_url="https://mirror.amazonaws.com")
    node.start()
    try:
        env = user(node, "root").env | {"AWS_ENDPOINT_URL_ECR": node.url, "AWS_REGION": REGION}
        given = json.loads(run([helper, "get"], env, said=host))
        assert given["Username"] == "AWS"
        words = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Host: {host}", f"{node.url}/v2/"]
        assert run(words) == "401"
        assert run([*words, "-u", f"AWS:{given['Secret']}"]) == "200"
    finally:
        node.stop()
