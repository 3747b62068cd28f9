"""The staged file of a fill: whatever arrives from wherever, its front and its islands tell the truth."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror.oci.digest import digest_of
from mirror.oci.ranges import Span
from mirror.store.sparse import SparseFile

DATA = bytes(range(256)) * 40
DIGEST = digest_of(DATA)

cuts = st.sets(st.integers(1, len(DATA) - 1), max_size=12).map(lambda points: sorted({0, *points, len(DATA)}))
arrivals = cuts.flatmap(lambda points: st.permutations(list(pairwise(points))))


def opened(path: Path) -> SparseFile:
    staged = SparseFile(path / "staged", DIGEST)
    staged.open()
    return staged


def add_island(staged: SparseFile, span: Span) -> None:
    staged.write_at(span.start, [DATA[span.start : span.end]])
    staged.add_island(span)


def finish(staged: SparseFile) -> None:
    """Move the front to the end as a fill does: over islands where there are any, else by writing."""
    while staged.front < len(DATA):
        reached = staged.readable_end(staged.front)
        if reached > staged.front:
            staged.hash_to(reached)
            staged.absorb()
        else:
            ahead = min((island.start for island in staged.islands if island.start > staged.front), default=len(DATA))
            staged.write_front([DATA[staged.front : ahead]])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(arrivals=arrivals, count=st.integers(0, 12))
def test_any_order_of_islands_ends_in_the_right_bytes(
    tmp_path: Path, arrivals: list[tuple[int, int]], count: int
) -> None:
    """DESIGN walk 2: a range far ahead goes into the same sparse file, and the digest is over the whole."""
    (tmp_path / "staged").unlink(missing_ok=True)
    staged = opened(tmp_path)
    for start, end in arrivals[:count]:
        add_island(staged, Span(start, end))
        assert staged.readable_end(start) >= end
    finish(staged)
    assert (staged.front, staged.islands) == (len(DATA), [])
    assert staged.verified()
    assert staged.path.read_bytes() == DATA
    staged.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(front=st.integers(0, len(DATA)), ends=st.tuples(st.integers(1, len(DATA)), st.integers(1, len(DATA))))
def test_the_next_process_goes_on_from_what_the_note_says(tmp_path: Path, front: int, ends: tuple[int, int]) -> None:
    """Issue section 4: an interrupted fill resumes from what it has, also after a restart."""
    (tmp_path / "staged").unlink(missing_ok=True)
    first = opened(tmp_path)
    first.write_front([DATA[:front]])
    if min(ends) < max(ends):
        add_island(first, Span(min(ends), max(ends)))
    first.write_note()
    first.close()
    second = opened(tmp_path)
    assert (second.front, second.islands) == (front, first.islands)
    finish(second)
    assert second.verified()
    second.close()


def test_nothing_between_islands_is_readable(tmp_path: Path) -> None:
    """A hole in the file reads as zeroes: it must never go out."""
    staged = opened(tmp_path)
    staged.write_front([DATA[:10]])
    add_island(staged, Span(100, 200))
    add_island(staged, Span(300, 400))
    assert [staged.readable_end(offset) for offset in (0, 9, 10, 99, 100, 199, 200, 350, 400)] == [
        *(10, 10, 10, 99, 200, 200, 200, 400, 400)
    ]
    staged.close()


def test_islands_that_touch_become_one(tmp_path: Path) -> None:
    staged = opened(tmp_path)
    for start, end in ((100, 200), (300, 400), (200, 300)):
        add_island(staged, Span(start, end))
    assert staged.islands == [Span(100, 400)]
    staged.close()


@pytest.mark.parametrize("note", [b"", b"{", b'{"front": "all"}', json.dumps({"front": 10**9, "islands": []}).encode()])
def test_a_note_that_cannot_be_true_costs_only_fetching_again(tmp_path: Path, note: bytes) -> None:
    """A power cut may leave any note: the digest over the whole decides in the end."""
    (tmp_path / "staged").write_bytes(DATA[:100])
    (tmp_path / "staged.json").write_bytes(note)
    staged = opened(tmp_path)
    assert staged.front <= 100
    finish(staged)
    assert staged.verified()
    staged.close()


def test_an_island_that_the_file_does_not_reach_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "staged").write_bytes(DATA[:100])
    (tmp_path / "staged.json").write_bytes(json.dumps({"front": 50, "islands": [[60, 90], [200, 300]]}).encode())
    staged = opened(tmp_path)
    assert (staged.front, staged.islands) == (50, [Span(60, 90)])
    staged.close()


def test_bytes_given_up_leave_neither_file_nor_note(tmp_path: Path) -> None:
    """RELIABILITY G6: wrong bytes are not kept, and nothing later brings their note back."""
    staged = opened(tmp_path)
    staged.write_front([DATA[:10]])
    staged.write_note()
    staged.discard()
    staged.write_note()
    assert list(tmp_path.iterdir()) == []
    staged.close()


async def test_the_front_and_an_island_grow_at_once(tmp_path: Path) -> None:
    """The front and a side write in two threads; `pwrite` needs no common position."""
    staged = opened(tmp_path)
    half = len(DATA) // 2

    def from_the_front() -> None:
        for start in range(0, half, 64):
            staged.write_front([DATA[start : start + 64]])

    def from_the_middle() -> None:
        for start in range(half, len(DATA), 64):
            staged.write_at(start, [DATA[start : start + 64]])

    await asyncio.gather(asyncio.to_thread(from_the_front), asyncio.to_thread(from_the_middle))
    staged.add_island(Span(half, len(DATA)))
    await asyncio.to_thread(finish, staged)
    assert staged.verified()
    staged.close()
