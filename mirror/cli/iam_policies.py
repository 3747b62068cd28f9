"""The policies of users and roles: written for one of them, or attached by name."""

from typing import Final, TextIO

import click

from mirror.cli.desk import Desk, administering
from mirror.cli.options import role_option
from mirror.cli.socket import Administrator

MANAGED: Final = "arn:aws:iam::aws:policy/"  # where the policies that AWS wrote are
_name = click.option("--name", "policy", required=True, metavar="POLICY", help="What the policy is called.")


@click.command("put-policy")
@click.argument("name")
@_name
@click.option("--document", type=click.File("r"), required=True, metavar="FILE", help="Its JSON; - for stdin.")
@role_option
@administering
def put_policy(desk: Desk, name: str, policy: str, document: TextIO, is_role: bool) -> None:
    """Write a policy for a user, or with --role for a role.

    \b
    Example:
      mirror iam put-policy ci --name push --document push.json
    """
    text, kind = document.read(), _kind(is_role)
    given = {f"{kind}Name": name, "PolicyName": policy, "PolicyDocument": text}
    desk.say(desk.ask(lambda node: node.iam(f"Put{kind}Policy", **given)), f"{name} has the policy {policy}")


@click.command("show-policy")
@click.argument("name")
@_name
@role_option
@administering
def show_policy(desk: Desk, name: str, policy: str, is_role: bool) -> None:
    """Show a policy that was written for a user or a role.

    \b
    Example:
      mirror iam show-policy ci --name push
    """
    kind = _kind(is_role)
    found = desk.ask(lambda node: node.iam(f"Get{kind}Policy", **{f"{kind}Name": name, "PolicyName": policy}))
    desk.text(found, found["PolicyDocument"])


@click.command("delete-policy")
@click.argument("name")
@_name
@role_option
@administering
def delete_policy(desk: Desk, name: str, policy: str, is_role: bool) -> None:
    """Delete a policy that was written for a user or a role.

    \b
    Example:
      mirror iam delete-policy ci --name push
    """
    kind = _kind(is_role)
    done = desk.ask(lambda node: node.iam(f"Delete{kind}Policy", **{f"{kind}Name": name, "PolicyName": policy}))
    desk.say(done, f"policy {policy} of {name} is deleted")


@click.command("list-policies")
@click.argument("name")
@role_option
@administering
def list_policies(desk: Desk, name: str, is_role: bool) -> None:
    """List the policies of a user or a role: name, inline or attached, ARN.

    \b
    Example:
      mirror iam list-policies ci
    """
    kind = _kind(is_role)
    holder = {f"{kind}Name": name}

    async def both(node: Administrator) -> tuple[list[str], list[dict[str, str]]]:
        inline = await node.iam_pages(f"List{kind}Policies", "PolicyNames", **holder)
        return inline, await node.iam_pages(f"ListAttached{kind}Policies", "AttachedPolicies", **holder)

    inline, attached = desk.ask(both)
    rows = [(policy, "inline", "") for policy in inline]
    rows += [(policy["PolicyName"], "attached", policy["PolicyArn"]) for policy in attached]
    desk.table({"PolicyNames": inline, "AttachedPolicies": attached}, ("NAME", "KIND", "ARN"), rows)


@click.command("attach-policy")
@click.argument("name")
@click.argument("policy")
@role_option
@administering
def attach_policy(desk: Desk, name: str, policy: str, is_role: bool) -> None:
    """Attach a managed policy, by its ARN or, of AWS's own, by its name.

    \b
    Example:
      mirror iam attach-policy ci AmazonEC2ContainerRegistryPowerUser
    """
    kind, arn = _kind(is_role), _arn(policy)
    done = desk.ask(lambda node: node.iam(f"Attach{kind}Policy", **{f"{kind}Name": name, "PolicyArn": arn}))
    desk.say(done, f"{arn} is attached to {name}")


@click.command("detach-policy")
@click.argument("name")
@click.argument("policy")
@role_option
@administering
def detach_policy(desk: Desk, name: str, policy: str, is_role: bool) -> None:
    """Detach a managed policy.

    \b
    Example:
      mirror iam detach-policy ci AmazonEC2ContainerRegistryPowerUser
    """
    kind, arn = _kind(is_role), _arn(policy)
    done = desk.ask(lambda node: node.iam(f"Detach{kind}Policy", **{f"{kind}Name": name, "PolicyArn": arn}))
    desk.say(done, f"{arn} is detached from {name}")


def _kind(is_role: bool) -> str:
    return "Role" if is_role else "User"


def _arn(policy: str) -> str:
    return policy if policy.startswith("arn:") else MANAGED + policy
