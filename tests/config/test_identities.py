"""iam.toml: the contract, every fault in one pass with its place, and no secret in any of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mirror.config.faults import ConfigInvalid
from mirror.config.identities import load_identities
from mirror.rules.identities import Declared, DeclaredAccount, DeclaredKey, DeclaredUser

ACCOUNT = "123456789012"
SECRET = "canary-secret-that-nobody-may-see"
POWER_USER = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser"
EMPTY = '{ "Version": "2012-10-17", "Statement": [] }'
TRUST = f'{{"Statement":{{"Effect":"Allow","Principal":{{"AWS":"{ACCOUNT}"}},"Action":"sts:AssumeRole"}}}}'

CONTRACT = f"""
[[account]]
id = "123456789012"
alias = "acme"
[[user]]
account = "123456789012"
name = "ci"
access_keys = [{{ id = "AKIAEXAMPLE", secret_file = "ci.secret" }}]
password_file = "ci.password"
policies = ["AmazonEC2ContainerRegistryPowerUser"]
inline = [{{ name = "own", document = '''{EMPTY}''' }}]
"""
USER = '[[user]]\naccount = "123456789012"\nname = "ci"\n'
ROLE = f"[[role]]\naccount = \"123456789012\"\nname = \"deploy\"\ntrust = '''{TRUST}'''\n"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write iam.toml and the secrets beside it."""

    def write(text: str, **files: str) -> Path:
        for name, content in {"ci_secret": f"{SECRET}\n", "ci_password": "correct horse\r\n", **files}.items():
            path = tmp_path / name.replace("_", ".")
            path.write_bytes(content.encode())
            path.chmod(0o600)
        path = tmp_path / "iam.toml"
        path.write_text(text)
        return path

    return write


def faults(path: Path) -> list[str]:
    """Load what must fail; return each fault as `line: key: message`."""
    with pytest.raises(ConfigInvalid) as caught:
        load_identities(path)
    assert SECRET not in str(caught.value)
    return [f"{fault.line}: {fault.key}: {fault.message}" for fault in caught.value.faults]


def test_the_contract_is_read_whole(write: Write) -> None:
    """Issue: the form of iam.toml, key by key; trailing newlines of secret files are no part of the secret."""
    declared, warnings = load_identities(write(CONTRACT))
    key = DeclaredKey("AKIAEXAMPLE", SECRET)
    user = DeclaredUser(ACCOUNT, "ci", (key,), "correct horse", (POWER_USER,), {"own": EMPTY})
    assert declared == Declared((DeclaredAccount(ACCOUNT, "acme"),), (user,))
    assert warnings == ()
    assert SECRET not in repr(declared)
    assert "correct horse" not in repr(declared)


def test_secrets_may_be_credentials_of_the_service(write: Write, tmp_path: Path) -> None:
    """systemd.exec(5), LoadCredential=; config/credentials.py."""
    path = write(
        CONTRACT.replace('"ci.password"', '"credential:ci.password"').replace('"ci.secret"', '"credential:ci.secret"')
    )
    (tmp_path / "handed").mkdir()
    for name in ("ci.password", "ci.secret"):
        (tmp_path / name).rename(tmp_path / "handed" / name)
    declared, _ = load_identities(path, tmp_path / "handed")
    assert (declared.users[0].password, declared.users[0].keys[0].secret) == ("correct horse", SECRET)
    assert "is not credential:NAME" in faults(write(f'{USER}password_file = "credential:../x"\n'))[0]


def test_an_empty_file_declares_nothing(write: Write) -> None:
    """A file that is there and empty is a decision too."""
    assert load_identities(write("")) == (Declared(), ())


def test_root_is_the_account_itself(write: Write) -> None:
    """Issue: "root" is the account itself."""
    key = '{ id = "AKIDROOT", secret_file = "ci.secret" }'
    text = f'[[user]]\naccount = "{ACCOUNT}"\nname = "root"\naccess_keys = [{key}]\n'
    declared, _ = load_identities(write(text))
    assert declared.users == (DeclaredUser(ACCOUNT, "root", (DeclaredKey("AKIDROOT", SECRET),)),)


def test_roles_and_policies_are_declared_in_the_same_spirit(write: Write) -> None:
    """A policy of the file is attached by its name, built-in ones by name or ARN."""
    policy = f"[[policy]]\naccount = \"{ACCOUNT}\"\nname = \"pull\"\npath = \"/team/\"\ndocument = '''{EMPTY}'''\n"
    role = ROLE + f'policies = ["pull", "{POWER_USER}", "pull"]\nmax_session_s = 7200\ndescription = "Deploys."\n'
    declared, _ = load_identities(write(role + policy))
    (made,) = declared.roles
    assert made.attached == (f"arn:aws:iam::{ACCOUNT}:policy/team/pull", POWER_USER)
    assert (made.max_session_s, made.description, made.trust) == (7_200, "Deploys.", TRUST)


def test_a_secret_in_the_file_itself_is_taken_with_a_warning(write: Write) -> None:
    """Issue: or secret = "..."; the warning names the place, not the secret."""
    declared, warnings = load_identities(write(f'{USER}access_keys = [{{ id = "AKIAX", secret = "{SECRET}" }}]\n'))
    assert declared.users[0].keys == (DeclaredKey("AKIAX", SECRET),)
    (warning,) = warnings
    assert (warning.line, warning.key) == (4, "user[0].access_keys[0].secret")
    assert SECRET not in str(warning)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[users]]\n", "1: users: unknown key; did you mean user?"),
        ("user = 1\n", "1: user: a list of tables is wanted, not an integer"),
        (f'{USER}polices = []\n', "4: user[0].polices: unknown key; did you mean policies?"),
        (f'{USER}password = "{SECRET}"\n', "4: user[0].password: a password never stands in this file: write it into one of its own and name that password_file"),  # noqa: E501
        ('[[user]]\nname = "ci"\n', "1: user[0].account: is required"),
        ('[[user]]\naccount = "1"\nname = "ci"\n', "2: user[0].account: '1' is not an account of twelve digits"),
        (f'[[user]]\naccount = "{ACCOUNT}"\n', "1: user[0].name: is required"),
        (f'{USER}path = "team"\n', "4: user[0].path: The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters."),  # noqa: E501
        (f'{USER}policies = ["AmazonEC2ContainerRegistryPowerUsr"]\n', "4: user[0].policies: 'AmazonEC2ContainerRegistryPowerUsr' is no policy; did you mean AmazonEC2ContainerRegistryPowerUser?"),  # noqa: E501
        (f'{USER}policies = "x"\n', "4: user[0].policies: a list of texts is wanted"),
        (f'{USER}password_file = "no.such"\n', None),
        (f"{USER}{USER}", "4: user[1]: 123456789012 ci stands there twice"),
        (f'{USER}access_keys = [{{ id = "AKIAX" }}]\n', "4: user[0].access_keys[0].secret_file: one of secret_file and secret is wanted"),  # noqa: E501
        (f'{USER}access_keys = [{{ id = "ASIAX", secret_file = "ci.secret" }}]\n', "4: user[0].access_keys[0].id: 3 to 128 letters, digits and _ are wanted, not ASIA first"),  # noqa: E501
        (f'{USER}access_keys = [{{ id = "AKIAX", secret = "has space" }}]\n', "4: user[0].access_keys[0].secret: 1 to 128 ASCII characters without spaces are wanted"),  # noqa: E501
        (f'{USER}access_keys = [{{ id = "AKIAX", secret = "a" }}, {{ id = "AKIAX", secret = "b" }}]\n', "4: user[0].access_keys[1].id: AKIAX is the id of another key too"),  # noqa: E501
        (f'{USER}inline = [{{ name = "own", document = "{{" }}]\n', None),
        (f"{ROLE}max_session_s = 60\n", "5: role[0].max_session_s: a number of seconds from 900 to 43200 is wanted"),
        (f"{ROLE}max_session_s = true\n", "5: role[0].max_session_s: a number of seconds from 900 to 43200 is wanted"),
        (f'[[role]]\naccount = "{ACCOUNT}"\nname = "deploy"\n', "1: role[0].trust: is required"),
        (f'[[account]]\nid = "{ACCOUNT}"\nalias = "Acme"\n', None),
        (f'[[account]]\nid = "{ACCOUNT}"\n[[account]]\nid = "{ACCOUNT}"\n', "3: account[1]: 123456789012 stands there twice"),  # noqa: E501
        (f'[[user]]\naccount = "{ACCOUNT}"\nname = "root"\npolicies = ["AdministratorAccess"]\n', "4: user[0].policies: the account itself has no policies: root may do everything, and logs in by access key"),  # noqa: E501
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_place(write: Write, text: str, fault: str | None) -> None:
    """The manner of mirror.toml: file, line, key, what is wrong, and no secret."""
    found = faults(write(text))
    assert len(found) == 1
    assert fault is None or found == [fault]


def test_every_fault_is_found_in_one_pass(write: Write) -> None:
    """One run names them all, in the order of the file."""
    found = faults(write(f'{USER}path = "x"\nwhat = 1\n[[role]]\nname = "a b"\n'))
    assert [line.partition(":")[0] for line in found] == ["4", "5", "6", "6", "7"]


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o666, 0o602])
def test_a_secret_file_that_others_can_read_is_a_fault(write: Write, mode: int) -> None:
    """A secret that everybody on the machine has is none."""
    path = write(CONTRACT)
    (path.parent / "ci.secret").chmod(mode)
    (fault,) = faults(path)
    assert "can be read by others" in fault


@pytest.mark.parametrize(
    "content",
    ["", "\n", "two words\n", "two\nlines\n", "\x7f", "a" * 129, "a" * 5_000, "\u00e9"],
)
def test_a_secret_file_that_holds_no_secret_is_a_fault(write: Write, content: str) -> None:
    """Nothing is cut or guessed."""
    assert faults(write(CONTRACT, ci_secret=content))


@pytest.mark.parametrize("content", ["", "\n", "two\nlines\n", "a" * 129])
def test_a_password_file_that_holds_no_password_is_a_fault(write: Write, content: str) -> None:
    """An empty password would be everybody's."""
    assert faults(write(CONTRACT, ci_password=content))


def test_a_policy_is_told_what_is_wrong_with_it(write: Write) -> None:
    """The evaluator's own words: place and fault inside the document."""
    bad = EMPTY.replace("[]", '[{"Effect":"Allow","Action":"ecr:Nothing","Resource":"*"}]')
    (fault,) = faults(write(f"{USER}inline = [{{ name = \"own\", document = '''{bad}''' }}]\n"))
    assert fault.startswith("4: user[0].inline[0].document: not a policy: Statement[0].Action")


def test_a_managed_policy_has_a_largest_size(write: Write) -> None:
    """IAM quota: 6,144 characters, white space not counted."""
    long = EMPTY.replace("[]", f'[], "Id": "{"x" * 6_200}"')
    table = ["[[policy]]", f'account = "{ACCOUNT}"', 'name = "long"', f"document = '''{long}'''\n"]
    fault = "4: policy[0].document: a managed policy has at most 6144 characters without spaces"
    assert faults(write("\n".join(table))) == [fault]
