"""Roles: what users and other accounts may become for a while."""

from typing import TextIO

import click

from mirror.cli.desk import Desk, administering, moment


@click.command("create-role")
@click.argument("name")
@click.option(
    "--trust", type=click.File("r"), required=True, metavar="FILE", help="Who may assume it, as JSON; - for stdin."
)
@administering
def create_role(desk: Desk, name: str, trust: TextIO) -> None:
    """Make a role, which may do nothing yet.

    \b
    Example:
      mirror iam create-role deployer --trust trust.json
    """
    document = trust.read()
    made = desk.ask(lambda node: node.iam("CreateRole", RoleName=name, AssumeRolePolicyDocument=document))
    desk.say(made, made["Role"]["Arn"])


@click.command("list-roles")
@administering
def list_roles(desk: Desk) -> None:
    """List the roles: name, id, when made, ARN.

    \b
    Example:
      mirror iam list-roles
    """
    found = desk.ask(lambda node: node.iam_pages("ListRoles", "Roles"))
    rows = ((role["RoleName"], role["RoleId"], moment(role["CreateDate"]), role["Arn"]) for role in found)
    desk.table({"Roles": found}, ("NAME", "ID", "CREATED", "ARN"), rows)


@click.command("delete-role")
@click.argument("name")
@administering
def delete_role(desk: Desk, name: str) -> None:
    """Delete a role, which has no policies any more.

    \b
    Example:
      mirror iam delete-role deployer
    """
    desk.say(desk.ask(lambda node: node.iam("DeleteRole", RoleName=name)), f"role {name} is deleted")
