"""Settings: the contract of the TOML file, its defaults, and every fault in one pass with its place."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from house_files import ROOT

from mirror.config import ConfigInvalid, Listen, Settings, Traces, load, parse_listen
from mirror.config.credentials import directory_of
from mirror.config.settings import UPSTREAMS_DEFAULT, Share
from mirror.rules.routing import UpstreamRule

Write = Callable[[str], Path]

CONTRACT = """
[server]
listen = "127.0.0.1:5000"
public_url = ""
tls = { certificate = "", key = "" }
[storage]
root = "/var/lib/mirror"
[access]
anonymous = ["pull"]
[[upstream]]
name = "docker.io"
url = "https://registry-1.docker.io"
root = true
prefix = "docker.io"
username = ""
tag_fresh_s = 3600
immutable_tags = ["v*"]
stale_max_s = 2592000
ca_file = ""
platforms = []
[log]
level = "info"
access = false
format = "json"
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "mirror.toml"
        path.write_text(text)
        return path

    return write


def faults(path: Path, **given: object) -> list[str]:
    """Load what must fail; return each fault as `line: key: message`."""
    with pytest.raises(ConfigInvalid) as caught:
        load(path, **given)  # type: ignore[arg-type]
    assert str(path) in str(caught.value)
    return [f"{fault.line}: {fault.key}: {fault.message}" for fault in caught.value.faults]


def test_the_contract_is_read_whole(write: Write) -> None:
    """Issue, section 2: the TOML contract, key by key."""
    settings = load(write(CONTRACT))
    assert settings == Settings(
        upstreams=(
            UpstreamRule(
                "docker.io",
                "https://registry-1.docker.io",
                root=True,
                prefix="docker.io",
                immutable_tags=("v*",),
                tag_fresh_s=3600.0,
                stale_max_s=2592000.0,
            ),
        )
    )


def test_without_a_file_the_public_registries_are_mirrored() -> None:
    """Issue, section 2: the upstreams without a configuration file; docker.io is the root."""
    settings = load(None, data=Path("/data"))
    assert [rule.name for rule in settings.upstreams] == [
        "docker.io",
        "ghcr.io",
        "quay.io",
        "registry.k8s.io",
        "gcr.io",
        "mcr.microsoft.com",
        "public.ecr.aws",
    ]
    assert [rule.name for rule in settings.upstreams if rule.root] == ["docker.io"]
    assert settings.storage.root == Path("/data")
    assert settings.server.listen == (Listen("127.0.0.1", 5000),)


def test_a_file_without_upstreams_has_none(write: Write) -> None:
    """A file says everything: defaults that call strangers are not mixed into it."""
    assert load(write("")).upstreams == ()
    assert load(None).upstreams == UPSTREAMS_DEFAULT


def test_the_command_line_comes_first(write: Write) -> None:
    settings = load(write(CONTRACT), listen=["0.0.0.0:1", "unix:/run/m"], data=Path("/d"))
    assert settings.server.listen == (Listen("0.0.0.0", 1), Listen(path="/run/m"))
    assert settings.storage.root == Path("/d")


def test_several_addresses_are_allowed(write: Write) -> None:
    settings = load(write('[server]\nlisten = ["127.0.0.1:0", "[::1]:5000", "unix:/run/mirror.sock"]'))
    assert list(map(str, settings.server.listen)) == ["127.0.0.1:0", "[::1]:5000", "unix:/run/mirror.sock"]


@pytest.mark.parametrize("text", ["127.0.0.1:5000", "[::]:5000", "unix:/a/b", "localhost:0", "mirror.example:65535"])
def test_an_address_prints_as_it_was_written(text: str) -> None:
    assert str(parse_listen(text)) == text


@pytest.mark.parametrize(
    "text", ["", "5000", ":5000", "::1:5000", "h:65536", "h:-1", "unix:rel", "h:\u0665", "a b:1", "h:1\n"]
)
def test_a_bad_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_listen(text)


def test_relative_paths_start_at_the_file(write: Write, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    path = write(
        '[storage]\nroot = "data"\n'
        '[[upstream]]\nname = "a.b"\nurl = "http://a.b"\nusername = "u"\npassword_file = "secret"'
    )
    settings = load(path)
    assert settings.storage.root == tmp_path / "data"
    assert settings.upstreams[0].password_file == str(tmp_path / "secret")


def test_a_credential_is_a_file_that_the_service_manager_hands_over(write: Write, tmp_path: Path) -> None:
    """systemd.exec(5), LoadCredential=: found by $CREDENTIALS_DIRECTORY; never a path out of it."""
    (tmp_path / "handed").mkdir()
    (tmp_path / "handed" / "mirror_hub").write_text("x")
    credentials = directory_of({"CREDENTIALS_DIRECTORY": str(tmp_path / "handed")})
    upstream = '[[upstream]]\nname = "a.b"\nurl = "http://a.b"\nusername = "u"\npassword_file = "credential:'
    settings = load(write(f'{upstream}mirror_hub"'), credentials=credentials)
    assert settings.upstreams[0].password_file == f"{tmp_path}/handed/mirror_hub"
    missing = f"5: upstream[0].password_file: {tmp_path}/handed/other cannot be read: No such file or directory"
    assert faults(write(f'{upstream}other"'), credentials=credentials) == [missing]
    for name in ("..", "", "a/b"):
        wrong = f"5: upstream[0].password_file: 'credential:{name}' is not credential:NAME"
        assert wrong in faults(write(f'{upstream}{name}"'), credentials=credentials)


def test_without_a_service_manager_credentials_are_where_the_service_has_them() -> None:
    """`mirror iam` reads the same configuration as the service, as root and outside of it."""
    assert directory_of({}) == Path("/run/credentials/mirror.service")
    assert (ROOT / "systemd" / directory_of({}).name).exists()


def test_the_command_line_changes_nothing_but_what_it_says(write: Write) -> None:
    """--data and --listen come before two keys; what else stands in their tables holds."""
    path = write("[server]\ndrain_s = 5\n[storage]\ncache_bytes_max = 7")
    settings = load(path, listen=["127.0.0.1:1"], data=Path("/d"))
    assert (settings.server.drain_s, settings.storage.cache_bytes_max) == (5.0, 7)


def test_a_stop_may_not_take_for_ever(write: Write) -> None:
    """DESIGN section 5: every wait has a limit."""
    assert faults(write("[server]\ndrain_s = 1e9")) == [
        "2: server.drain_s: 1e+09 seconds: a stop may take 3600 at most"
    ]


def test_every_fault_is_named_in_one_pass_with_its_place(write: Write) -> None:
    """Issue, section 2: every fault in one pass, with its place; an unknown key names the nearest known one."""
    found = faults(
        write(
            '[server]\nlisten = 5\npublik_url = "x"\n'
            '[acess]\n[access]\nanonymous = ["psuh"]\n'
            '[[upstream]]\nname = "a.io"\nurl = "https://a.io"\n'
            '[[upstream]]\nname = "b.io"\nurll = "https://b.io"\ntag_fresh_s = -1\nroot = "yes"\n'
        )
    )
    assert found == [
        "2: server.listen: a list is wanted, not an integer",
        "3: server.publik_url: unknown key; did you mean public_url?",
        "4: acess: unknown key; did you mean access?",
        "6: access.anonymous: 'psuh' is unknown; did you mean push?",
        "10: upstream[1].url: is required",
        "12: upstream[1].urll: unknown key; did you mean url?",
        "13: upstream[1].tag_fresh_s: -1 is not a number of seconds from 0 up",
        "14: upstream[1].root: true or false is wanted, not a text",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a = 1\nb = 2 c", "2: : not TOML: Expected newline or end of document after a statement (column 7)"),
        ("a = ", "0: : not TOML: Invalid value (at end of document)"),
        ("[server]\nlisten = 'x", "not TOML"),
        ("[server]\n[server]", "not TOML"),
        ("[[server]]", "1: server: a table is wanted, not a list"),
        ("server = 1", "1: server: a table is wanted, not an integer"),
        ("[upstream]\nname = 'x'", "1: upstream: [[upstream]] tables are wanted, not a table"),
        ("upstream = ['x']", "1: upstream[0]: a table is wanted, not a text"),
        ("[server]\ntls = 'x'", "2: server.tls: a table is wanted, not a text"),
        ("[server]\ntls = { cert = 'x' }", "2: server.tls.cert: unknown key; did you mean certificate?"),
        ("[server.tls]\ncertificate = 'x'", "1: server.tls: certificate and key are wanted, both or neither"),
        ("[server]\ntls = {certificate='no', key='such'}", "server.tls.key: "),
        ("[server]\npublic_url = 'https://h/path'", "2: server.public_url: a URL of scheme and host only is wanted"),
        ("[server]\npublic_url = 'ftp://h'", "2: server.public_url: a URL that starts with https:// or http://"),
        ("[server]\nlisten = ['h:1', 'h:1']", "2: server.listen: h:1 stands there twice"),
        ("[server]\nlisten = ['h']", "2: server.listen: 'h' is not HOST:PORT"),
        ("[storage]\nroot = ''", "2: storage.root: a path is wanted, not an empty text"),
        ("[storage]\nroot = 'a\\u0000b'".replace("'", '"'), "2: storage.root: the text has a control character"),
        ("[log]\nlevel = 'warn'", "2: log.level: 'warn' is unknown; did you mean warning?"),
        ("[log]\naccess = 1", "2: log.access: true or false is wanted, not an integer"),
        ("[[webhook]]\nurl = 'http://h'\nfilter = ['ECR Image Acton']", "did you mean ECR Image Action?"),
        ("[[webhook]]\nurl = 'http://h'\n[[webhook]]\nurl = 'http://h'", "4: webhook[1].url: webhook[0] has this URL"),
        ("[[webhook]]\nurl = 'http://h'\nsecret_file = 'no'", "3: webhook[0].secret_file: "),
        ("[access]\nanonymous = [1]", "2: access.anonymous: a text is wanted, not an integer"),
    ],
)
def test_a_fault_says_what_is_wanted(write: Write, text: str, fault: str) -> None:
    assert any(fault in found for found in faults(write(text))), faults(write(text))


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("url = 'https://a.io/v2/'", "upstream[0].url: a URL of scheme and host only"),
        ("url = 'a.io'", "upstream[0].url: a URL that starts with https:// or http://"),
        ("url = 'https://'", "upstream[0].url: the URL names no host"),
        ("url = 'https://h:99999'", "upstream[0].url: a URL of scheme, host and port"),
        ("url = 'https://[::1'", "upstream[0].url: a URL of scheme, host and port"),
        ("name = 'A.io'", "is not a registry's host[:port] in lower case"),
        (f"name = '{'a' * 101}'", "is not a registry's host[:port] in lower case"),
        ("name = 'index.docker.io'", "upstream[0].name: clients call this registry docker.io"),
        ("name = 'localhost:5001'", "upstream[0].name: 'localhost:5001' cannot be a path prefix"),
        ("prefix = 'A/b'", "upstream[0].prefix: not a path prefix"),
        ("prefix = 'a//b'", "upstream[0].prefix: not a path prefix"),
        ("username = 'u'", "upstream[0].username: password_file is wanted with it"),
        ("password_file = 'none'", "upstream[0].password_file: "),
        ("ca_file = 'none'", "cannot be read: No such file"),
        ("ca_file = 'mirror.toml'", "upstream[0].ca_file: has no certificate in PEM form"),
        ("stale_max_s = nan", "upstream[0].stale_max_s: nan is not a number of seconds"),
        ("stale_max_s = inf", "upstream[0].stale_max_s: inf is not a number of seconds"),
        ("tag_fresh_s = '1h'", "upstream[0].tag_fresh_s: a number of seconds is wanted, not a text"),
        ("tag_fresh_s = true", "upstream[0].tag_fresh_s: a number of seconds is wanted, not a boolean"),
        ("immutable_tags = 'v*'", "upstream[0].immutable_tags: a list is wanted, not a text"),
        ("immutable_tags = ['']", "upstream[0].immutable_tags: a pattern of 1 to"),
        ("platforms = ['linux']", "upstream[0].platforms: 'linux' is not os/architecture"),
        ("name = 2020-01-01", "upstream[0].name: a text is wanted, not a date or time"),
    ],
)
def test_an_upstreams_fault_says_what_is_wanted(write: Write, lines: str, fault: str) -> None:
    given = {line.split(" =")[0] for line in lines.splitlines()}
    rest = {"name": "name = 'a.io'", "url": "url = 'https://a.io'"}
    text = "\n".join(["[[upstream]]", lines, *(line for key, line in rest.items() if key not in given)])
    assert any(fault in found for found in faults(write(text))), faults(write(text))


@pytest.mark.parametrize(
    ("second", "fault"),
    [
        ("name = 'a.io'\nurl = 'https://a.io'", "upstream[1].name: 'a.io' is the name of upstream[0] too"),
        ("name = 'b.io'\nprefix = 'a.io'\nurl = 'https://b.io'", "upstream[1].prefix: 'a.io' is the prefix of"),
        ("name = 'b.io'\nroot = true\nurl = 'https://b.io'", "upstream[1].root: upstream[0] is the root already"),
    ],
)
def test_two_upstreams_cannot_be_one(write: Write, second: str, fault: str) -> None:
    text = f"[[upstream]]\nname = 'a.io'\nurl = 'https://a.io'\nroot = true\n[[upstream]]\n{second}\n"
    assert any(fault in found for found in faults(write(text)))


@pytest.mark.parametrize("line", ["password = 's3cr3t'", "url = 'https://user:s3cr3t@a.io'", "passwrd = 's3cr3t'"])
def test_a_password_in_the_file_is_refused_and_not_repeated(write: Write, line: str) -> None:
    """Issue, section 2: passwords come from password_file, never inline."""
    path = write(f"[[upstream]]\nname = 'a.io'\n{line}\n")
    assert "s3cr3t" not in "\n".join(faults(path))
    assert any("password_file" in found for found in faults(path))


def test_a_file_that_is_not_there_is_one_plain_fault(tmp_path: Path) -> None:
    assert faults(tmp_path / "none.toml") == ["0: : cannot be read: No such file or directory"]
    assert faults(tmp_path) == ["0: : cannot be read: Is a directory"]


def test_a_file_that_is_no_text_is_one_plain_fault(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_bytes(b"\n\xff\xfe")
    assert faults(path) == ["2: : is not UTF-8"]
    path.write_bytes(b"#" * 2_000_000)
    assert faults(path) == ["0: : is larger than 1048576 bytes"]
    path.write_bytes(b"a = " + b"[" * 100_000)
    assert "not TOML" in faults(path)[0]


def test_a_bad_address_of_the_command_line_is_a_fault_too() -> None:
    with pytest.raises(ConfigInvalid, match=r"^--listen: 'x' is not HOST:PORT"):
        load(None, listen=["x"])


PLACES = """
[replication]
bytes_s_max = 1_000_000
[[destination]]
name = "backup"
url = "https://registry.example.org"
repositories = ["team/*"]
tags = ["semver:>=1", "!*-rc*"]
windows = ["mon-fri 22:00-06:00"]
[[sync]]
name = "base"
repositories = ["quay.io/team/*"]
images = ["docker.io/library/nginx:1.27"]
newest = 3
every_s = 3600
"""


def test_destinations_and_syncs_are_read(write: Write) -> None:
    """Issue 4, section 3: `[[destination]]` and `[[sync]]`."""
    settings = load(write(PLACES))
    (destination,), (sync,) = settings.destinations, settings.syncs
    assert (destination.name, destination.tags) == ("backup", ("semver:>=1", "!*-rc*"))
    assert (sync.newest, sync.every_s, sync.images) == (3, 3600.0, ("docker.io/library/nginx:1.27",))
    assert settings.replication.bytes_s_max == 1_000_000


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"team/*"', '"re:("', "7: destination[0].repositories: not a regular expression: missing ): ("),
        ("semver:>=1", "semver:x y", "8: destination[0].tags: 'x y' is not a range of versions, such as >=1.2 <2"),
        ("22:00-06:00", "22-06", "9: destination[0].windows: 'mon-fri 22-06' is not a window, such as 22:00-06:00"),
        ("1_000_000", "1.5", "3: replication.bytes_s_max: a whole number is wanted, not a float"),
        ("newest = 3", "newest = -3", "14: sync[0].newest: a whole number from 0 to 9007199254740992 is wanted"),
        ("quay.io/team/*", "*/app", "12: sync[0].repositories: a repository is wanted, or a pattern with *"),
        ("nginx:1.27", "nginx:*", "13: sync[0].images: 'docker.io/library/nginx:*' is a pattern"),
        ("newest = 3", "workers = 3", "14: sync[0].workers: unknown key"),
        ("[[sync]]", "workers = 0\n[[sync]]", "10: destination[0].workers: a number from 1 to 64 is wanted"),
        ('name = "base"', 'name = "Base!"', "11: sync[0].name: 'Base!' is not a name of 1 to 64 lower-case letters"),
    ],
)
def test_a_fault_of_a_destination_or_a_sync_is_named(write: Write, old: str, new: str, fault: str) -> None:
    """README, bad input: every fault with its line and key."""
    assert PLACES.count(old) == 1
    assert faults(write(PLACES.replace(old, new)))[0].startswith(fault)


def test_names_of_destinations_and_syncs_are_given_once(write: Write) -> None:
    """By its name a command speaks of it."""
    twice = PLACES + PLACES.replace("[replication]\nbytes_s_max = 1_000_000", "")
    said = faults(write(twice))
    assert [one.partition(": ")[2] for one in said] == [
        "destination[1].name: 'backup' is the name of destination[0] too",
        "sync[1].name: 'base' is the name of sync[0] too",
    ]


QUOTAS = """
[[quota]]
images_max = 100
[[quota]]
account = "123456789012"
repositories = ["team/*"]
bytes_max = 1_000
"""


def test_quotas_are_read(write: Write) -> None:
    """Issue 5, section 2: `[[quota]]`."""
    first, second = load(write(QUOTAS)).quotas
    assert (first.account, first.repositories, first.images_max) == ("", (), 100)
    assert (second.account, second.repositories, second.bytes_max) == ("123456789012", ("team/*",), 1_000)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("images_max = 100", "images_max = 0", "2: quota[0].bytes_max: is required, or images_max"),
        ("images_max = 100", "images_max = -1", "3: quota[0].images_max: a whole number from 0 to"),
        ("123456789012", "12", "5: quota[1].account: '12' is not an account of 12 digits"),
        ("team/*", "re:(", "6: quota[1].repositories: not a regular expression"),
        ('account = "123456789012"\nrepositories = ["team/*"]', "", "quota[1].repositories: quota[0] is for the same"),
    ],
)
def test_a_fault_of_a_quota_is_named(write: Write, old: str, new: str, fault: str) -> None:
    """README, bad input: every fault with its line and key."""
    assert QUOTAS.count(old) == 1
    assert any(fault in found for found in faults(write(QUOTAS.replace(old, new))))


def test_an_archive_is_a_directory_of_its_own_beside_the_file(write: Write, tmp_path: Path) -> None:
    """Issue 5, section 1: `[storage] archive_root`; relative paths start at the file."""
    (tmp_path / "cold").mkdir()
    settings = load(write("[storage]\nroot = 'data'\narchive_root = 'cold'"))
    assert settings.storage.archive_root == str(tmp_path / "cold")
    assert load(write("[storage]\nroot = 'data'")).storage.archive_root == ""


@pytest.mark.parametrize("place", ["data", "data/cold", "."])
def test_an_archive_within_the_store_or_around_it_is_refused(place: str, write: Write, tmp_path: Path) -> None:
    """The archive's files would be taken for the store's, or the store's for the archive's."""
    path = write(f"[storage]\nroot = 'data'\narchive_root = '{place}'")
    [fault] = faults(path)
    assert fault.startswith("3: storage.archive_root: ")
    assert fault.endswith(f"and the storage root {tmp_path / 'data'} must not be one within the other")


def test_an_archive_that_cannot_be_written_is_refused_unless_it_was_in_use(write: Write, tmp_path: Path) -> None:
    """A disk that is away keeps no node from starting; a path that never was an archive is a slip."""
    path = write("[storage]\nroot = 'data'\narchive_root = 'cold'")
    assert faults(path) == [f"3: storage.archive_root: {tmp_path / 'cold'} is not a directory that can be written"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "archive").symlink_to(tmp_path / "cold" / "mirror-1")
    assert load(path).storage.archive_root == str(tmp_path / "cold")
    assert load(path, data=tmp_path / "data").storage.root == tmp_path / "data"
    [fault] = faults(path, data=tmp_path / "elsewhere")
    assert "is not a directory that can be written" in fault


def test_traces_need_their_packages(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 5, section 4: optional. Without the extra the configuration says what to install."""
    path = write('[traces]\nendpoint = "http://127.0.0.1:4318/"\nsample = 0.5')
    assert load(path).traces == Traces("http://127.0.0.1:4318", Share(0.5))
    monkeypatch.delitem(sys.modules, "mirror.telemetry.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigInvalid, match=r"traces\.endpoint: .*pip install 'mirror\[traces\]'"):
        load(path)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("sample = 1.5", "1.5 is not a number from 0 to 1"),
        ("sample = nan", "nan is not a number from 0 to 1"),
        ('sample = "all"', "a number from 0 to 1 is wanted, not a text"),
        ('endpoint = "127.0.0.1:4318"', "a URL that starts with https:// or http:// is wanted"),
        ('endpoint = "http://c:4318/v1/traces"', "no path (the node adds /v1/traces itself)"),
        ('endpoint = "http://user:pw@c:4318"', "must not carry a user or password"),
    ],
)
def test_a_wrong_setting_of_traces_is_named(write: Write, line: str, wanted: str) -> None:
    with pytest.raises(ConfigInvalid, match=re.escape(wanted)):
        load(write(f"[traces]\n{line}"))
