"""What the public gallery says about a repository, and about a registry.

Source: ECR Public guide, "Repository catalog data"; ECR.md 2.10 and appendix A. The lengths are the API model's too;
they stand here because catalogue data can also be declared. Pure: the picture is read here, not decoded.
"""

import zlib
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from mirror.aws.errors import InvalidParameter, constraint

DESCRIPTION_CHARS_MAX: Final = 1_024
TEXT_CHARS_MAX: Final = 25_600  # about and usage, each
LABELS_MAX: Final = 50  # architectures, and operating systems
LABEL_CHARS_MAX: Final = 50
DISPLAY_NAME_CHARS_MAX: Final = 100
LOGO_BYTES_MAX: Final = 512_000
LOGO_PIXELS_MIN: Final = 60  # each side
LOGO_PIXELS_MAX: Final = 2_048

ARCHITECTURES: Final = ("ARM", "ARM 64", "x86", "x86-64")
OPERATING_SYSTEMS: Final = ("Linux", "Windows")

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_HEADER_BYTES: Final = 13  # PNG, 11.2.1: the data of IHDR
_FRAME_BYTES: Final = 12  # PNG, 5.3: a chunk's length, type and CRC


class CatalogData(msgspec.Struct, frozen=True, omit_defaults=True):
    """The catalogue data of a repository; texts are Markdown. `logo` is the digest of its picture, or ""."""

    description: str = ""
    architectures: tuple[str, ...] = ()
    operating_systems: tuple[str, ...] = ()
    about: str = ""
    usage: str = ""
    logo: str = ""


class CatalogEdit(msgspec.Struct, frozen=True):
    """The members that one request gives; None: not given, stays as it is."""

    description: str | None = None
    architectures: tuple[str, ...] | None = None
    operating_systems: tuple[str, ...] | None = None
    about: str | None = None
    usage: str | None = None
    logo: str | None = None


def edited(data: CatalogData, edit: CatalogEdit) -> CatalogData:
    """Return `data` with what `edit` gives. Raises InvalidParameter."""
    given = {name: value for name in edit.__struct_fields__ if (value := getattr(edit, name)) is not None}
    found = msgspec.structs.replace(data, **given)
    _check_chars("description", found.description, DESCRIPTION_CHARS_MAX)
    _check_chars("aboutText", found.about, TEXT_CHARS_MAX)
    _check_chars("usageText", found.usage, TEXT_CHARS_MAX)
    _check_labels("architectures", found.architectures)
    _check_labels("operatingSystems", found.operating_systems)
    return found


def shown(labels: Iterable[str], known: Collection[str]) -> list[str]:
    """Return those of `labels` that the gallery shows: the `known`. Others are only stored."""
    return [label for label in labels if label in known]


def check_display_name(name: str) -> None:
    """Raise InvalidParameter for a registry's display name that is too long."""
    _check_chars("displayName", name, DISPLAY_NAME_CHARS_MAX)


def check_logo(data: bytes) -> tuple[int, int]:
    """Return width and height, in pixels, of a logo. Raises InvalidParameter unless it is a whole PNG in the limits.

    All chunks are walked and their checksums checked, and nothing may follow the last: what is served to browsers as
    a picture is one.
    """
    if len(data) > LOGO_BYTES_MAX:
        raise _bad_logo(f"Member must have length less than or equal to {LOGO_BYTES_MAX}")
    header = _png_header(data)
    if header is None:
        raise _bad_logo("must be a PNG image")
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    if not (LOGO_PIXELS_MIN <= width <= LOGO_PIXELS_MAX and LOGO_PIXELS_MIN <= height <= LOGO_PIXELS_MAX):
        raise _bad_logo(f"must be from {LOGO_PIXELS_MIN} to {LOGO_PIXELS_MAX} pixels wide and high")
    return width, height


def _png_header(data: bytes) -> bytes | None:
    """Return the data of IHDR of a well-formed PNG; None for anything else."""
    kinds: list[bytes] = []
    at = len(_PNG)
    while data.startswith(_PNG) and at + _FRAME_BYTES <= len(data):
        end = at + _FRAME_BYTES + int.from_bytes(data[at : at + 4], "big")
        if end > len(data) or zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return None
        kinds.append(data[at + 4 : at + 8])
        at = end
    whole = at == len(data) and kinds[:1] == [b"IHDR"] and kinds[-1:] == [b"IEND"] and b"IDAT" in kinds
    header = data[len(_PNG) + 8 :][:_HEADER_BYTES]
    declared = int.from_bytes(data[len(_PNG) : len(_PNG) + 4], "big")
    return header if whole and declared == _HEADER_BYTES else None


def _check_labels(field: str, labels: Collection[str]) -> None:
    if len(labels) > LABELS_MAX:
        raise constraint(field, f"Member must have length less than or equal to {LABELS_MAX}")
    for label in labels:
        if not label:
            raise constraint(field, "Member must have length greater than or equal to 1")
        _check_chars(field, label, LABEL_CHARS_MAX)


def _check_chars(field: str, text: str, chars_max: int) -> None:
    if len(text) > chars_max:
        raise constraint(field, f"Member must have length less than or equal to {chars_max}")


def _bad_logo(text: str) -> InvalidParameter:
    return constraint("logoImageBlob", text)
