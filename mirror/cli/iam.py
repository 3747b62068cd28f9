"""`mirror iam`: the accounts of a node, its users and roles, their keys, passwords and policies."""

from pathlib import Path
from typing import TextIO

import click

from mirror.cli.credentials import add_profile, check_profile
from mirror.cli.desk import Desk, administering, moment, password_of
from mirror.cli.iam_policies import attach_policy, delete_policy, detach_policy, list_policies, put_policy, show_policy
from mirror.cli.iam_roles import create_role, delete_role, list_roles
from mirror.cli.options import password_option
from mirror.rules.identities import ROOT


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def iam() -> None:
    """Users, roles, access keys, passwords and policies.

    The node is asked over its administration socket; where none is running, the store is opened for the command.

    \b
    Examples:
      mirror iam create-user ci
      mirror iam create-key ci --credentials-file ~/.aws/credentials --profile ci
      mirror iam attach-policy ci AmazonEC2ContainerRegistryPowerUser
      mirror iam set-password ann
    """


for command in (put_policy, show_policy, delete_policy, list_policies, attach_policy, detach_policy):
    iam.add_command(command)
for command in (create_role, list_roles, delete_role):
    iam.add_command(command)


@iam.command("create-account")
@click.argument("account_id", metavar="ID")
@administering
def create_account(desk: Desk, account_id: str) -> None:
    """Make an account: twelve digits.

    \b
    Example:
      mirror iam create-account 111122223333
    """
    made = desk.ask(lambda node: node.own("accounts", "create", account=account_id))
    desk.say(made, f"account {account_id} is made" if made["made"] else f"account {account_id} was there already")


@iam.command("list-accounts")
@administering
def list_accounts(desk: Desk) -> None:
    """List the node's accounts: id, alias.

    \b
    Example:
      mirror iam list-accounts
    """
    found = desk.ask(lambda node: node.own("accounts", "list"))
    desk.table(found, ("ID", "ALIAS"), ((one["account"], one["alias"]) for one in found["accounts"]))


@iam.command("create-user")
@click.argument("name")
@administering
def create_user(desk: Desk, name: str) -> None:
    """Make a user, who may do nothing yet.

    \b
    Example:
      mirror iam create-user ci
    """
    made = desk.ask(lambda node: node.iam("CreateUser", UserName=name))
    desk.say(made, made["User"]["Arn"])


@iam.command("delete-user")
@click.argument("name")
@administering
def delete_user(desk: Desk, name: str) -> None:
    """Delete a user, who has no keys, password and policies any more.

    \b
    Example:
      mirror iam delete-user ci
    """
    desk.say(desk.ask(lambda node: node.iam("DeleteUser", UserName=name)), f"user {name} is deleted")


@iam.command("list-users")
@administering
def list_users(desk: Desk) -> None:
    """List the users: name, id, when made, ARN.

    \b
    Example:
      mirror iam list-users --account 111122223333
    """
    found = desk.ask(lambda node: node.iam_pages("ListUsers", "Users"))
    rows = ((user["UserName"], user["UserId"], moment(user["CreateDate"]), user["Arn"]) for user in found)
    desk.table({"Users": found}, ("NAME", "ID", "CREATED", "ARN"), rows)


@iam.command("create-key")
@click.argument("user")
@click.option(
    "--credentials-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Add the key to this file of the AWS tools instead of showing its secret.",
)
@click.option("--profile", default="default", show_default=True, help="What the key is called there.")
@administering
def create_key(desk: Desk, user: str, credentials_file: Path | None, profile: str) -> None:
    """Make an access key. Its secret is shown now and never again. `root` is the account itself.

    \b
    Examples:
      mirror iam create-key ci
      mirror iam create-key ci --credentials-file ~/.aws/credentials --profile ci
      mirror iam create-key root --account 111122223333
    """
    if credentials_file is not None:
        check_profile(credentials_file, profile)
    made = desk.ask(lambda node: node.iam("CreateAccessKey", **_whose(user)))
    key = made["AccessKey"]
    key_id, secret = key["AccessKeyId"], key["SecretAccessKey"]
    if credentials_file is None:
        desk.text(made, f"aws_access_key_id = {key_id}\naws_secret_access_key = {secret}")
    else:
        try:
            add_profile(credentials_file, profile, key_id, secret)
        except OSError:
            # Nobody has its secret.
            desk.ask(lambda node: node.iam("DeleteAccessKey", **_whose(user), AccessKeyId=key_id))
            raise
        shown = {name: value for name, value in key.items() if name != "SecretAccessKey"}
        desk.say({"AccessKey": shown}, f"{key_id} is profile {profile} of {credentials_file}")


@iam.command("list-keys")
@click.argument("user")
@administering
def list_keys(desk: Desk, user: str) -> None:
    """List a user's access keys: id, status, when made.

    \b
    Example:
      mirror iam list-keys ci
    """
    found = desk.ask(lambda node: node.iam_pages("ListAccessKeys", "AccessKeyMetadata", **_whose(user)))
    rows = ((key["AccessKeyId"], key["Status"], moment(key["CreateDate"])) for key in found)
    desk.table({"AccessKeyMetadata": found}, ("ID", "STATUS", "CREATED"), rows)


@iam.command("delete-key")
@click.argument("user")
@click.argument("key_id", metavar="KEY-ID")
@administering
def delete_key(desk: Desk, user: str, key_id: str) -> None:
    """Delete a user's access key, and with it all that was issued on its strength.

    \b
    Example:
      mirror iam delete-key ci AKIAIOSFODNN7EXAMPLE
    """
    done = desk.ask(lambda node: node.iam("DeleteAccessKey", **_whose(user), AccessKeyId=key_id))
    desk.say(done, f"key {key_id} is deleted")


@iam.command("set-password")
@click.argument("user")
@password_option
@administering
def set_password(desk: Desk, user: str, password_file: TextIO | None) -> None:
    """Give a user a password, for `docker login -u USER`; the one before it ends.

    \b
    Examples:
      mirror iam set-password ann
      pass show registry/ann | mirror iam set-password ann --password-file -
    """
    password = password_of(password_file, "Password")
    done = desk.ask(lambda node: node.own("passwords", "set", user=user, password=password))
    desk.say(done, f"user {user} has a password")


@iam.command("remove-password")
@click.argument("user")
@administering
def remove_password(desk: Desk, user: str) -> None:
    """Take a user's password away.

    \b
    Example:
      mirror iam remove-password ann
    """
    done = desk.ask(lambda node: node.own("passwords", "remove", user=user))
    desk.say(done, f"user {user} has no password")


def _whose(user: str) -> dict[str, str]:
    """Name a user to the API, which knows the caller's own keys, here root's, by no name at all."""
    return {} if user == ROOT else {"UserName": user}
