"""`mirror secret`: the credentials by which pull-through cache rules log in to upstreams."""

from typing import TextIO

import click

from mirror.cli.desk import Desk, administering, moment, password_of
from mirror.cli.options import password_option


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def secret() -> None:
    """Credentials for upstreams, named as pull-through cache rules name them: ecr-pullthroughcache/...

    \b
    Examples:
      mirror secret put ecr-pullthroughcache/hub --username bot --password-file hub.token
      mirror secret list
    """


@secret.command("put")
@click.argument("name")
@click.option("--username", required=True, help="Who logs in.")
@password_option
@administering
def put(desk: Desk, name: str, username: str, password_file: TextIO | None) -> None:
    """Keep a user name and its password or access token, sealed; it is never shown again. Answers with its ARN.

    \b
    Example:
      mirror secret put ecr-pullthroughcache/hub --username bot --password-file hub.token
    """
    password = password_of(password_file, "Password or access token")
    done = desk.ask(lambda node: node.own("secrets", "put", name=name, username=username, password=password))
    desk.say(done, done["arn"])


@secret.command("list")
@administering
def list_secrets(desk: Desk) -> None:
    """List the secrets: name, when put, and the ARN that a rule's credentialArn takes.

    \b
    Example:
      mirror secret list
    """
    found = desk.ask(lambda node: node.own("secrets", "list"))
    rows = ((one["name"], moment(one["changedAt"]), one["arn"]) for one in found["secrets"])
    desk.table(found, ("NAME", "PUT", "ARN"), rows)


@secret.command("delete")
@click.argument("name")
@administering
def delete(desk: Desk, name: str) -> None:
    """Delete a secret. Rules that name it ask without one, or are refused.

    \b
    Example:
      mirror secret delete ecr-pullthroughcache/hub
    """
    desk.say(desk.ask(lambda node: node.own("secrets", "delete", name=name)), f"secret {name} is deleted")
