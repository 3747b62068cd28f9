"""`mirror image`: what is in a repository, image by image."""

import re
from typing import Any, Final

import click

from mirror.cli.desk import Desk, administering, moment
from mirror.cli.options import public_option
from mirror.cli.repo import facts, service_of
from mirror.cli.socket import Refused
from mirror.cli.why import why

_DIGEST: Final = re.compile(r"[a-z0-9+._-]+:[0-9a-fA-F]{32,}")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def image() -> None:
    """Images: a repository's manifests and their tags.

    \b
    Examples:
      mirror image list team/app
      mirror image show team/app:v1
      mirror image why docker.io/library/alpine:3.20
      mirror image delete team/app@sha256:...
    """


image.add_command(why)


@image.command("list")
@click.argument("repository")
@click.option(
    "--status",
    type=click.Choice(["ACTIVE", "ARCHIVED", "ANY"], case_sensitive=False),
    help="Of which status; ACTIVE by default.",
)
@public_option
@administering
def list_images(desk: Desk, repository: str, status: str | None, public: bool) -> None:
    """List the images of a repository: digest, tags, bytes, when pushed, media type.

    \b
    Example:
      mirror image list team/app
    """
    if public and status:
        raise click.UsageError("public images have no --status")
    given: dict[str, Any] = {"repositoryName": repository}
    if status:
        given["filter"] = {"imageStatus": status.upper()}
    found = desk.ask(lambda node: node.ecr_pages("DescribeImages", "imageDetails", service_of(public), **given))
    rows = (
        (
            one["imageDigest"],
            one.get("imageTags", []),
            one.get("imageSizeInBytes"),
            moment(one.get("imagePushedAt")),
            one.get("imageManifestMediaType"),
        )
        for one in found
    )
    desk.table({"imageDetails": found}, ("DIGEST", "TAGS", "BYTES", "PUSHED", "TYPE"), rows)


@image.command("show")
@click.argument("reference", metavar="REPOSITORY[:TAG|@DIGEST]")
@public_option
@administering
def show(desk: Desk, reference: str, public: bool) -> None:
    """Show what is known of an image; of `latest` where no tag is named.

    \b
    Example:
      mirror image show team/app:v1
    """
    repository, image_id = read_reference(reference)
    given = {"repositoryName": repository, "imageIds": [image_id or {"imageTag": "latest"}]}
    found = desk.ask(lambda node: node.ecr("DescribeImages", service_of(public), **given))
    desk.table(found, ("KEY", "VALUE"), facts(found["imageDetails"][0]))


@image.command("delete")
@click.argument("reference", metavar="REPOSITORY:TAG|REPOSITORY@DIGEST")
@public_option
@administering
def delete(desk: Desk, reference: str, public: bool) -> None:
    """Delete a tag, and with its last tag the image; or an image with all its tags.

    \b
    Examples:
      mirror image delete team/app:v1
      mirror image delete team/app@sha256:...
    """
    repository, image_id = read_reference(reference)
    if not image_id:
        raise click.UsageError("which image: REPOSITORY:TAG or REPOSITORY@DIGEST")
    given = {"repositoryName": repository, "imageIds": [image_id]}
    done = desk.ask(lambda node: node.ecr("BatchDeleteImage", service_of(public), **given))
    failures = done.get("failures", [])
    if failures:
        said = "; ".join(f"{one.get('failureCode')}: {one.get('failureReason')}" for one in failures)
        raise Refused(said)
    gone = done.get("imageIds", [])
    desk.table(done, ("DIGEST", "TAG"), ((one.get("imageDigest"), one.get("imageTag")) for one in gone))


def read_reference(text: str) -> tuple[str, dict[str, str]]:
    """Read `repository`, `repository:tag` or `repository@digest`: the repository, and the image's id or nothing."""
    name, at, digest = text.partition("@")
    if at:
        if not _DIGEST.fullmatch(digest):
            raise click.UsageError(f"{digest!r} is no digest")
        return name, {"imageDigest": digest}
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and not tag:
        raise click.UsageError(f"{text!r} ends where a tag is wanted")
    return head + slash + last, {"imageTag": tag} if colon else {}
