"""Catalogue data of public repositories: limits, edits, and logos."""

import struct
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.aws.errors import InvalidParameter
from mirror.rules.catalog_data import (
    ARCHITECTURES,
    OPERATING_SYSTEMS,
    CatalogData,
    CatalogEdit,
    check_display_name,
    check_logo,
    edited,
    shown,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, more: bytes = b"") -> bytes:
    """A black picture of one bit a pixel, `more` bytes of text in it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    rows = zlib.compress(bytes(1 + (width + 7) // 8) * height)
    return SIGNATURE + header + chunk(b"tEXt", b"k\0" + more) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(60, 60), (2_048, 2_048), (60, 2_048), (100, 90)])
def test_a_logo_within_the_limits_is_taken(size: tuple[int, int]) -> None:
    """ECR.md 2.10: PNG, 60-2,048 px."""
    assert check_logo(png(*size)) == size


@pytest.mark.parametrize("size", [(59, 60), (60, 59), (2_049, 60), (60, 2_049), (0, 0), (2**31, 60)])
def test_a_logo_too_small_or_too_large_is_refused(size: tuple[int, int]) -> None:
    """ECR.md 2.10: PNG, 60-2,048 px."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 1, 0, 0, 0, 0))
    with pytest.raises(InvalidParameter, match="from 60 to 2048 pixels"):
        check_logo(SIGNATURE + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def test_a_logo_has_at_most_512000_bytes() -> None:
    """ECR.md 2.10."""
    spare = 512_000 - len(png(60, 60))
    assert check_logo(png(60, 60, b"x" * spare)) == (60, 60)
    with pytest.raises(InvalidParameter, match="less than or equal to 512000"):
        check_logo(png(60, 60, b"x" * (spare + 1)))


GOOD = png(60, 60)
HEADER = chunk(b"IHDR", struct.pack(">IIBBBBB", 60, 60, 1, 0, 0, 0, 0))
DATA, END = chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")
NOT_PNG = {
    "nothing": b"",
    "jpeg": b"\xff\xd8\xff\xe0" + b"\0" * 100,
    "svg": b"<svg onload='alert(1)'/>",
    "signature only": SIGNATURE,
    "no end": GOOD[: -len(END)],
    "cut": GOOD[:-1],
    "script behind": GOOD + b"<script>",
    "page behind": GOOD + chunk(b"tEXt", b"x"),
    "no picture": SIGNATURE + HEADER + END,
    "header later": SIGNATURE + DATA + HEADER + DATA + END,
    "short header": SIGNATURE + chunk(b"IHDR", struct.pack(">II", 60, 60)) + DATA + END,
    "endless chunk": SIGNATURE + HEADER + b"\xff\xff\xff\xffIDAT" + END,
}


@pytest.mark.parametrize("data", NOT_PNG.values(), ids=NOT_PNG)
def test_what_is_not_one_whole_png_is_refused(data: bytes) -> None:
    """PNG specification, 5: what a browser is sent as a picture is one."""
    with pytest.raises(InvalidParameter, match="must be a PNG image"):
        check_logo(data)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_byte_changed_anywhere_is_seen(at: int, change: int) -> None:
    """PNG specification, 5.3: every chunk has a checksum."""
    broken = bytearray(GOOD)
    broken[at] ^= change
    with pytest.raises(InvalidParameter):
        check_logo(bytes(broken))


def test_an_edit_changes_what_it_gives_and_nothing_else() -> None:
    """ECR.md 2.10: "PutRepositoryCatalogData replaces the given members"; an empty one is given too."""
    data = CatalogData("d", ("ARM", "riscv"), ("Linux",), "a", "u", "sha256:1")
    assert edited(data, CatalogEdit()) == data
    assert edited(data, CatalogEdit(description="", about="b")) == CatalogData(
        "", ("ARM", "riscv"), ("Linux",), "b", "u", "sha256:1"
    )
    assert edited(CatalogData(), CatalogEdit("d", ("ARM",), ("Linux",), "a", "u", "l")) == CatalogData(
        "d", ("ARM",), ("Linux",), "a", "u", "l"
    )


LIMITS = [
    (CatalogEdit(description="é" * 1_024), CatalogEdit(description="x" * 1_025), "description"),
    (CatalogEdit(about="x" * 25_600), CatalogEdit(about="x" * 25_601), "aboutText"),
    (CatalogEdit(usage="x" * 25_600), CatalogEdit(usage="x" * 25_601), "usageText"),
    (CatalogEdit(architectures=("x",) * 50), CatalogEdit(architectures=("x",) * 51), "architectures"),
    (CatalogEdit(architectures=("x" * 50,)), CatalogEdit(architectures=("x" * 51,)), "architectures"),
    (CatalogEdit(operating_systems=("x",)), CatalogEdit(operating_systems=("",)), "operatingSystems"),
]


@pytest.mark.parametrize(("good", "bad", "field"), LIMITS)
def test_catalogue_data_has_limits(good: CatalogEdit, bad: CatalogEdit, field: str) -> None:
    """ECR.md 2.10 and appendix A: AboutText, Architecture, ArchitectureList, RepositoryDescription."""
    edited(CatalogData(), good)
    with pytest.raises(InvalidParameter, match=f"'{field}'"):
        edited(CatalogData(), bad)


def test_a_display_name_has_at_most_100_characters() -> None:
    """ECR.md 2.10."""
    check_display_name("x" * 100)
    with pytest.raises(InvalidParameter, match="'displayName'"):
        check_display_name("x" * 101)


def test_only_known_labels_are_shown() -> None:
    """ECR.md 2.10: "other values are stored but not displayed"."""
    assert shown(("x86-64", "riscv", "ARM 64", "arm"), ARCHITECTURES) == ["x86-64", "ARM 64"]
    assert shown(("Plan 9", "Linux"), OPERATING_SYSTEMS) == ["Linux"]


def test_catalogue_data_is_stored_as_it_is() -> None:
    data = CatalogData("d", ("ARM",), (), "a", logo="sha256:1")
    assert msgspec.json.decode(msgspec.json.encode(data), type=CatalogData) == data
    assert msgspec.json.encode(CatalogData()) == b"{}"
