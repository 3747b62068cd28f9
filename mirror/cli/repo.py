"""`mirror repo`: the repositories of a registry, and who else may use them."""

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import click

from mirror.cli.desk import Desk, administering, moment
from mirror.cli.options import public_option
from mirror.cli.socket import Service


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def repo() -> None:
    """Repositories and their policies.

    \b
    Examples:
      mirror repo create team/app --mutability IMMUTABLE
      mirror repo list
      mirror repo policy set team/app --document policy.json
    """


@repo.command("list")
@public_option
@administering
def list_repos(desk: Desk, public: bool) -> None:
    """List the repositories: name, mutability of tags, when made, URI.

    \b
    Example:
      mirror repo list | cut -f1
    """
    found = desk.ask(lambda node: node.ecr_pages("DescribeRepositories", "repositories", service_of(public)))
    rows = (
        (one["repositoryName"], one.get("imageTagMutability"), moment(one.get("createdAt")), one.get("repositoryUri"))
        for one in found
    )
    desk.table({"repositories": found}, ("NAME", "TAGS", "CREATED", "URI"), rows)


@repo.command("show")
@click.argument("name")
@public_option
@administering
def show(desk: Desk, name: str, public: bool) -> None:
    """Show what a repository is set to.

    \b
    Example:
      mirror repo show team/app
    """
    found = desk.ask(lambda node: node.ecr("DescribeRepositories", service_of(public), repositoryNames=[name]))
    desk.table(found, ("KEY", "VALUE"), facts(found["repositories"][0]))


@repo.command("stats")
@click.argument("name")
@public_option
@administering
def stats(desk: Desk, name: str, public: bool) -> None:
    """Say how much a repository is used: pulls, images, bytes, and which images were pulled last.

    \b
    Example:
      mirror repo stats team/app
    """
    found = desk.ask(lambda node: node.own("view", "usage", repository=name, public=public))
    told = [(key, value) for key, value in facts(dict(found)) if key != "latest"]
    desk.table(found, ("KEY", "VALUE"), told)
    if found["latest"] and not desk.as_json:
        click.echo()
        rows = ((moment(one["pulledAt"]), one["tags"], one["digest"]) for one in found["latest"])
        desk.table(found, ("PULLED", "TAGS", "DIGEST"), rows)


@repo.command("create")
@click.argument("name")
@click.option(
    "--mutability",
    type=click.Choice(["MUTABLE", "IMMUTABLE"], case_sensitive=False),
    help="Whether a tag may be moved to another image; MUTABLE by default.",
)
@click.option("--scan-on-push", is_flag=True, help="Look for vulnerabilities in each image that is pushed.")
@public_option
@administering
def create(desk: Desk, name: str, mutability: str | None, scan_on_push: bool, public: bool) -> None:
    """Make a repository.

    \b
    Example:
      mirror repo create team/app --mutability IMMUTABLE
    """
    if public and (mutability or scan_on_push):
        raise click.UsageError("public repositories have no --mutability and no --scan-on-push")
    given: dict[str, Any] = {"repositoryName": name}
    if mutability:
        given["imageTagMutability"] = mutability.upper()
    if scan_on_push:
        given["imageScanningConfiguration"] = {"scanOnPush": True}
    made = desk.ask(lambda node: node.ecr("CreateRepository", service_of(public), **given))
    desk.say(made, made["repository"]["repositoryUri"])


@repo.command("delete")
@click.argument("name")
@click.option("--force", is_flag=True, help="Delete its images with it.")
@public_option
@administering
def delete(desk: Desk, name: str, force: bool, public: bool) -> None:
    """Delete a repository; one with images only with --force.

    \b
    Example:
      mirror repo delete team/app --force
    """
    done = desk.ask(lambda node: node.ecr("DeleteRepository", service_of(public), repositoryName=name, force=force))
    desk.say(done, f"repository {name} is deleted")


@repo.command("expire")
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@administering
def expire(desk: Desk, name: str, dry_run: bool) -> None:
    """Run a repository's lifecycle policy now: say what has expired or was archived, and by which rule.

    \b
    Examples:
      mirror repo expire team/app --dry-run
      mirror repo expire team/app
    """
    found = desk.ask(lambda node: node.own("lifecycles", "expire", repository=name, dry=dry_run))
    desk.table(found, ("ACTION", "TAGS", "DIGEST", "PUSHED", "RULE"), map(_gone, found["images"]))
    if found["left"]:
        click.echo(f"mirror: {found['left']} changed meanwhile and were left", err=True)
    if found["waiting"]:
        click.echo(f"mirror: {found['waiting']} are still to go: run it again", err=True)


@repo.group("policy")
def policy() -> None:
    """Who else may use a repository: its policy.

    \b
    Examples:
      mirror repo policy get team/app
      mirror repo policy set team/app --document policy.json
    """


@policy.command("get")
@click.argument("name")
@public_option
@administering
def get_policy(desk: Desk, name: str, public: bool) -> None:
    """Show a repository's policy.

    \b
    Example:
      mirror repo policy get team/app
    """
    found = desk.ask(lambda node: node.ecr("GetRepositoryPolicy", service_of(public), repositoryName=name))
    desk.text(found, found["policyText"])


@policy.command("set")
@click.argument("name")
@click.option("--document", type=click.File("r"), required=True, metavar="FILE", help="Its JSON; - for stdin.")
@click.option("--force", is_flag=True, help="Even where it keeps its writer from changing it again.")
@public_option
@administering
def set_policy(desk: Desk, name: str, document: TextIO, force: bool, public: bool) -> None:
    """Give a repository a policy, in place of the one it has.

    \b
    Example:
      mirror repo policy set team/app --document policy.json
    """
    given = {"repositoryName": name, "policyText": document.read(), "force": force}
    done = desk.ask(lambda node: node.ecr("SetRepositoryPolicy", service_of(public), **given))
    desk.say(done, f"repository {name} has the policy")


@policy.command("delete")
@click.argument("name")
@public_option
@administering
def delete_policy(desk: Desk, name: str, public: bool) -> None:
    """Delete a repository's policy.

    \b
    Example:
      mirror repo policy delete team/app
    """
    done = desk.ask(lambda node: node.ecr("DeleteRepositoryPolicy", service_of(public), repositoryName=name))
    desk.say(done, f"repository {name} has no policy")


def _gone(one: Mapping[str, Any]) -> Sequence[object]:
    """Show an image; the rule of one that followed its subject's deletion or archival is 0."""
    action = one["action"]["type"].lower()
    return action, one.get("imageTags"), one["imageDigest"], moment(one["imagePushedAt"]), one["appliedRulePriority"]


def service_of(public: bool) -> Service:
    return "ecr-public" if public else "ecr"


def facts(thing: dict[str, Any], above: str = "") -> list[tuple[str, object]]:
    """List what is said of a thing, member by member: `imageScanningConfiguration.scanOnPush`, `true`."""
    found: list[tuple[str, object]] = []
    for name, value in thing.items():
        if isinstance(value, dict):
            found += facts(value, f"{above}{name}.")
        elif name.endswith("At") and isinstance(value, float | int):
            found.append((above + name, moment(value)))
        else:
            found.append((above + name, str(value).lower() if isinstance(value, bool) else value))
    return found
