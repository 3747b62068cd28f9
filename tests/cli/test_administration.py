"""The commands of administration, as an operator runs them: options in, lines out, exit codes; against a real node."""

import asyncio
import io
import json
import stat
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from administering import administered
from click.testing import CliRunner, Result
from registries import HOME
from stores import opened, push

from mirror import node
from mirror.cli import main
from mirror.cli.credentials import add_profile, check_profile
from mirror.cli.desk import Desk, plain
from mirror.cli.image import read_reference
from mirror.config import Settings
from mirror.oci.names import Repository
from mirror.store.disk import BLOBS

ACCOUNT = HOME.account
ARN = f"arn:aws:iam::{ACCOUNT}"
POWER = "AmazonEC2ContainerRegistryPowerUser"
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}]}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}],
}
pytestmark = pytest.mark.usefixtures("logging_of_its_own")


def administer(settings: Settings, talk: Callable[[Path], Awaitable[Any]]) -> Any:
    """Run a node for as long as somebody talks to it, as `node.administer` does where none is running."""

    async def run() -> Any:
        async with administered(settings.storage.root) as house:
            return await talk(house.path)

    return asyncio.run(run())


class Node:
    """A data directory, and `mirror` with it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / BLOBS).mkdir(parents=True)  # a store is here

    def __call__(self, *words: str | Path, given: str | None = None) -> Result:
        said = [str(word) for word in words]
        return CliRunner().invoke(main, [*said, "--data", str(self.root)], input=given, env={"MIRROR_CONFIG": None})

    def lines(self, *words: str | Path, given: str | None = None) -> list[list[str]]:
        """Run a command that succeeds; return its columns."""
        result = self(*words, given=given)
        assert result.exit_code == 0, result.output
        assert result.stderr == ""
        return [line.split("\t") for line in result.stdout.splitlines()]

    def json(self, *words: str | Path) -> Any:
        result = self(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def fails(self, *words: str | Path) -> str:
        """Run a command that the node refuses; return the one line that says why."""
        result = self(*words)
        assert (result.exit_code, result.stdout) == (1, ""), result.output
        (line,) = result.stderr.splitlines()
        return str(line)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(node, "administer", administer, raising=False)
    return Node(tmp_path / "data")


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, object], Path]:
    def write(name: str, content: object) -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


Write = Callable[[str, object], Path]


def test_users_are_made_listed_and_deleted(mirror: Node) -> None:
    assert mirror.lines("iam", "create-user", "ci") == [[f"{ARN}:user/ci"]]
    ((name, user_id, created, arn),) = mirror.lines("iam", "list-users")
    assert (name, arn) == ("ci", f"{ARN}:user/ci")
    assert user_id.startswith("AIDA")
    assert created.endswith("Z")
    assert [user["UserName"] for user in mirror.json("iam", "list-users")["Users"]] == ["ci"]
    assert mirror.lines("iam", "delete-user", "ci") == [["user ci is deleted"]]
    assert mirror.lines("iam", "list-users") == []


def test_a_refusal_is_one_plain_line_and_exit_code_1(mirror: Node) -> None:
    assert mirror.fails("iam", "delete-user", "nobody").startswith("mirror: NoSuchEntity: ")
    assert mirror.fails("repo", "show", "no/such").startswith("mirror: RepositoryNotFoundException: ")


def test_a_keys_secret_is_shown_once_in_the_form_of_a_credentials_file(mirror: Node) -> None:
    mirror.lines("iam", "create-user", "ci")
    shown = [line[0] for line in mirror.lines("iam", "create-key", "ci")]
    assert shown[0].startswith("aws_access_key_id = AKIA")
    assert len(shown[1].removeprefix("aws_secret_access_key = ")) == 40
    key_id = shown[0].rpartition(" ")[2]
    ((listed, status, _),) = mirror.lines("iam", "list-keys", "ci")
    assert (listed, status) == (key_id, "Active")
    mirror.lines("iam", "delete-key", "ci", key_id)
    assert mirror.lines("iam", "list-keys", "ci") == []


def test_root_has_keys_too(mirror: Node) -> None:
    """IAM API reference, CreateAccessKey: without a user's name the caller's own. A lost root key is replaced so."""
    shown = mirror.lines("iam", "create-key", "root")[0][0]
    ((listed, status, _),) = mirror.lines("iam", "list-keys", "root")
    assert (shown, status) == (f"aws_access_key_id = {listed}", "Active")
    mirror.lines("iam", "delete-key", "root", listed)
    assert mirror.lines("iam", "list-keys", "root") == []


def test_a_key_goes_into_a_credentials_file_and_not_to_the_terminal(mirror: Node, tmp_path: Path) -> None:
    mirror.lines("iam", "create-user", "ci")
    path = tmp_path / "credentials"
    words = ("iam", "create-key", "ci", "--credentials-file", path)
    answer = mirror.json(*words, "--profile", "ci")
    assert "SecretAccessKey" not in answer["AccessKey"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith(f"[ci]\naws_access_key_id = {answer['AccessKey']['AccessKeyId']}\naws_secret")
    before = path.read_text()
    assert mirror(*words, "--profile", "ci").exit_code == 2, "a profile is never written over"
    assert path.read_text() == before
    assert len(mirror.lines("iam", "list-keys", "ci")) == 1, "no key is made that would be lost"
    mirror.lines(*words)
    assert path.read_text().startswith(before + "\n[default]\n")


@pytest.mark.parametrize(
    ("there", "profile"), [("no credentials file", "x"), ("[x]\na = b\n", "x"), ("", "two words"), ("", "a]\n[b")]
)
def test_a_file_that_cannot_take_the_profile_is_left_alone(write: Write, there: str, profile: str) -> None:
    path = write("credentials", there)
    with pytest.raises(Exception, match=r"no credentials file|already|cannot be a profile"):
        check_profile(path, profile)
    assert path.read_text() == there


def test_a_profile_is_added_behind_a_line_without_an_end(write: Write) -> None:
    path = write("credentials", "[a]\nx = %(y)s")
    check_profile(path, "b")
    add_profile(path, "b", "AKIA", "secret")
    assert path.read_text() == "[a]\nx = %(y)s\n\n[b]\naws_access_key_id = AKIA\naws_secret_access_key = secret\n"


@pytest.mark.parametrize("kind", ["user", "role"])
def test_policies_are_written_attached_listed_and_taken_away(mirror: Node, write: Write, kind: str) -> None:
    role = ("--role",) if kind == "role" else ()
    made = ("--trust", write("trust.json", TRUST)) if kind == "role" else ()
    mirror.lines("iam", f"create-{kind}", "it", *made)
    mirror.lines("iam", "put-policy", "it", "--name", "all", "--document", write("p.json", POLICY), *role)
    mirror.lines("iam", "attach-policy", "it", POWER, *role)
    arn = f"arn:aws:iam::aws:policy/{POWER}"
    assert mirror.lines("iam", "list-policies", "it", *role) == [["all", "inline", ""], [POWER, "attached", arn]]
    shown = mirror.lines("iam", "show-policy", "it", "--name", "all", *role)
    assert json.loads("\n".join(line[0] for line in shown)) == POLICY
    assert mirror.fails("iam", f"delete-{kind}", "it").startswith("mirror: DeleteConflict: ")
    mirror.lines("iam", "detach-policy", "it", arn, *role)
    mirror.lines("iam", "delete-policy", "it", "--name", "all", *role)
    assert mirror.lines("iam", "list-policies", "it", *role) == []
    mirror.lines("iam", f"delete-{kind}", "it")
    assert mirror.lines("iam", f"list-{kind}s") == []


def test_a_policy_comes_from_stdin_and_a_bad_one_is_refused(mirror: Node) -> None:
    mirror.lines("iam", "create-user", "ci")
    words = ("iam", "put-policy", "ci", "--name", "p", "--document", "-")
    mirror.lines(*words, given=json.dumps(POLICY))
    assert mirror(*words, given="{}").stderr.startswith("mirror: MalformedPolicyDocument: ")


def test_a_password_is_asked_for_twice_or_read_from_a_file(
    mirror: Node, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.lines("iam", "create-user", "ann")
    nobody = mirror("iam", "set-password", "ann", given="correct horse\ncorrect horse\n")
    assert (nobody.exit_code, "no terminal to type a password at" in nobody.stderr) == (2, True)
    monkeypatch.setattr("mirror.cli.desk.is_terminal", lambda _: True)
    typed = mirror("iam", "set-password", "ann", given="correct horse\ncorrect horse\n")
    assert typed.exit_code == 0
    assert "correct horse" not in typed.output
    assert mirror("iam", "set-password", "ann", given="correct horse\nanother\n").exit_code == 1
    file = write("password", "correct battery\nsecond line\n")
    assert mirror.lines("iam", "set-password", "ann", "--password-file", file) == [["user ann has a password"]]
    assert mirror("iam", "set-password", "ann", "--password-file", write("empty", "\n")).exit_code == 2
    assert mirror.lines("iam", "remove-password", "ann") == [["user ann has no password"]]
    assert "Password should have" in mirror.fails("iam", "set-password", "ann", "--password-file", write("s", "x"))


def test_another_account_is_made_and_then_meant(mirror: Node) -> None:
    other = "111122223333"
    assert f"There is no account {other}" in mirror.fails("iam", "list-users", "--account", other)
    mirror.lines("iam", "create-account", other)
    mirror.lines("iam", "create-user", "ci", "--account", other)
    assert mirror.lines("iam", "list-users") == []
    assert mirror.lines("iam", "list-accounts") == [[ACCOUNT, ""], [other, ""]]


def test_repositories_are_made_listed_shown_and_deleted(mirror: Node) -> None:
    ((uri,),) = mirror.lines("repo", "create", "team/app", "--mutability", "immutable", "--scan-on-push")
    assert uri.endswith("/team/app")
    mirror.lines("repo", "create", "team/web")
    listed = mirror.lines("repo", "list")
    assert [(name, tags) for name, tags, _, _ in listed] == [("team/app", "IMMUTABLE"), ("team/web", "MUTABLE")]
    facts = dict(mirror.lines("repo", "show", "team/app"))
    assert facts["repositoryName"] == "team/app"
    assert facts["imageScanningConfiguration.scanOnPush"] == "true"
    assert facts["createdAt"].endswith("Z")
    mirror.lines("repo", "delete", "team/app")
    assert [line[0] for line in mirror.lines("repo", "list")] == ["team/web"]
    assert mirror("repo", "create", "x", "--public", "--scan-on-push").exit_code == 2


def test_a_list_is_turned_to_its_last_page(mirror: Node) -> None:
    """ECR.md 1.3: a page has a hundred repositories."""

    async def make() -> None:
        async with opened(mirror.root) as store:
            names = [Repository(HOME, "", f"app-{number:03}") for number in range(201)]
            made = (store.catalog.create_repository(name, b'{"created_at": 1.0}', 1.0) for name in names)
            await asyncio.gather(*made)

    asyncio.run(make())
    listed = [line[0] for line in mirror.lines("repo", "list")]
    assert listed == [f"app-{number:03}" for number in range(201)]


def test_a_repositorys_policy_is_set_shown_and_deleted(mirror: Node, write: Write) -> None:
    policy = {"Version": "2008-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecr:ListImages"}]}
    mirror.lines("repo", "create", "team/app")
    mirror.lines("repo", "policy", "set", "team/app", "--document", write("p.json", policy))
    shown = mirror.lines("repo", "policy", "get", "team/app")
    assert json.loads("\n".join(line[0] for line in shown))["Statement"][0]["Action"] in (
        "ecr:ListImages",
        ["ecr:ListImages"],
    )
    mirror.lines("repo", "policy", "delete", "team/app")
    assert mirror.fails("repo", "policy", "get", "team/app").startswith("mirror: RepositoryPolicyNotFoundException: ")


def test_images_are_listed_shown_and_deleted(mirror: Node) -> None:
    """ECR guide: the last tag takes the image with it."""

    async def pushed() -> str:
        async with opened(mirror.root) as store:
            return str(await push(store, Repository(HOME, "", "team/app"), "a", "v1", "latest"))

    digest = asyncio.run(pushed())
    assert [line[:2] for line in mirror.lines("image", "list", "team/app")] == [[digest, "latest,v1"]]
    assert dict(mirror.lines("image", "show", "team/app"))["imageDigest"] == digest
    assert dict(mirror.lines("image", "show", f"team/app@{digest}"))["imageTags"] == "latest,v1"
    assert mirror.fails("image", "delete", "team/app:v2").startswith("mirror: ImageNotFound: ")
    assert mirror("image", "delete", "team/app").exit_code == 2
    assert mirror.lines("image", "delete", "team/app:v1") == [[digest, "v1"]]
    assert mirror.lines("image", "delete", f"team/app@{digest}") == [[digest, "latest"]]
    assert mirror.lines("image", "list", "team/app") == []


def test_what_nothing_names_is_counted_then_removed(mirror: Node) -> None:
    """Issue 5, section 2: `mirror collect --dry-run` shows what and how many bytes."""

    async def deleted(at: float) -> None:
        async with opened(mirror.root) as store:
            repository = Repository(HOME, "", "team/app")
            digest = await push(store, repository, "a", "v1")
            await store.catalog.delete_manifest(repository, digest, at)

    asyncio.run(deleted(time.time()))
    assert mirror.json("collect", "--dry-run") == {"blobs": 0, "bytes": 0, "waiting": 2}
    asyncio.run(deleted(1.0))
    assert (
        mirror.json("collect", "--dry-run") == mirror.json("collect", "-n") == {"blobs": 1, "bytes": 281, "waiting": 0}
    )
    assert mirror.lines("collect") == [["went: 1 blobs, 281 bytes; waiting: 0 blobs"]]
    assert mirror.json("collect") == {"blobs": 0, "bytes": 0, "waiting": 0}


@pytest.mark.parametrize(
    ("text", "name", "image_id"),
    [
        ("app", "app", {}),
        ("team/app:v1", "team/app", {"imageTag": "v1"}),
        ("team/app@sha256:" + "a" * 64, "team/app", {"imageDigest": "sha256:" + "a" * 64}),
    ],
)
def test_references_are_read_as_docker_writes_them(text: str, name: str, image_id: dict[str, str]) -> None:
    assert read_reference(text) == (name, image_id)


@pytest.mark.parametrize("text", ["app:", "app@v1", "app@", "app@sha256:short"])
def test_a_reference_that_is_none_is_wrong_usage(mirror: Node, text: str) -> None:
    assert mirror("image", "show", text).exit_code == 2


def test_secrets_are_kept_and_never_shown(mirror: Node, write: Write) -> None:
    file, name = write("token", "canary-77\n"), "ecr-pullthroughcache/hub"
    kept = mirror("secret", "put", name, "--username", "bot", "--password-file", file)
    arn = kept.stdout.strip()
    assert (kept.exit_code, arn.startswith(f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:{name}-")) == (0, True)
    listed = mirror("secret", "list")
    assert [line.split("\t")[::2] for line in listed.stdout.splitlines()] == [[name, arn]]
    assert "canary" not in kept.output + listed.output
    mirror.lines("secret", "delete", name)
    assert mirror.lines("secret", "list") == []
    assert mirror.fails("secret", "delete", "ecr-pullthroughcache/none").startswith("mirror: SecretNotFound")


COMMANDS = [
    *(["iam", name] for name in ("create-user", "delete-user", "list-users", "create-key", "list-keys", "delete-key")),
    *(["iam", name] for name in ("put-policy", "show-policy", "delete-policy", "attach-policy", "detach-policy")),
    *(["iam", name] for name in ("list-policies", "set-password", "remove-password", "create-role", "delete-role")),
    *(["iam", name] for name in ("list-roles", "create-account", "list-accounts")),
    *(["repo", name] for name in ("list", "show", "create", "delete")),
    *(["repo", "policy", name] for name in ("get", "set", "delete")),
    *(["image", name] for name in ("list", "show", "delete")),
    *(["secret", name] for name in ("put", "list", "delete")),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(command: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, "--help"])
    assert result.exit_code == 0
    assert f"\n    mirror {' '.join(command)}" in result.output


@pytest.mark.parametrize("words", [["iam"], ["iam", "create-user"], ["repo", "policy", "set", "x"], ["secret", "put"]])
def test_wrong_usage_exits_2(words: list[str]) -> None:
    assert CliRunner().invoke(main, words).exit_code == 2


def test_what_a_client_wrote_steers_no_terminal_and_breaks_no_line() -> None:
    """RELIABILITY A35."""
    assert plain("a\tb\nc\x1b[31m\u202e\u009b") == "a\\tb\\nc\\x1b[31m\\u202e\\x9b"
    assert plain("caf\u00e9 \u6f22") == "caf\u00e9 \u6f22"


class Terminal(io.StringIO):
    """What a person looks at."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_table_with_titles_and_no_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are data: neither markup nor escape sequences."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    Desk(None, None, "", as_json=False).table({}, ("NAME", "TAGS"), [("[bold]app[/bold]\x1b[2J", ["v1", "v2"])])
    head, row = terminal.getvalue().splitlines()
    assert "NAME" in head
    assert row.split() == ["[bold]app[/bold]\\x1b[2J", "v1,v2"]


@pytest.mark.parametrize("words", [["repo", "list"], ["iam", "list-users"], ["verify"], ["reindex"]], ids="_".join)
def test_a_place_without_a_store_is_not_made_one(words: list[str], tmp_path: Path) -> None:
    """A misspelt --data must not answer for the node: nothing is there, and nothing is made."""
    missing = tmp_path / "typo"
    result = CliRunner().invoke(main, [*words, "--data", str(missing)], env={"MIRROR_CONFIG": None})
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no store here: name the node's with --config or --data" in result.stderr
    assert not missing.exists()
