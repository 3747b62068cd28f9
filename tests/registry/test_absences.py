"""The memory of what upstream said it does not have."""

import pytest

from mirror.oci.errors import BlobUnknown, ManifestUnknown
from mirror.registry import absences
from mirror.registry.absences import ABSENT_S, Absences


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(absences.time, "monotonic", lambda: now[0])
    return now


def test_what_was_not_found_is_said_again_for_a_while(clock: list[float]) -> None:
    """Issue section 4: not-found is cached briefly, in the words and with the detail of the first time."""
    memory = Absences()
    memory.note("tag", ManifestUnknown("no such tag", detail={"tag": "v1"}))
    clock[0] += ABSENT_S - 0.1
    with pytest.raises(ManifestUnknown, match="no such tag") as refusal:
        memory.check("tag")
    assert refusal.value.detail == {"tag": "v1"}
    clock[0] += 0.2
    memory.check("tag")


def test_an_absence_is_of_one_thing_only(clock: list[float]) -> None:
    """What one repository lacks another may have."""
    memory = Absences()
    memory.note(("blob", "a"), BlobUnknown("no"))
    memory.check(("blob", "b"))


def test_each_answer_is_an_error_of_its_own(clock: list[float]) -> None:
    """An exception that is raised twice gathers tracebacks for ever."""
    memory, raised = Absences(), []
    memory.note("tag", ManifestUnknown("no"))
    for _ in range(2):
        with pytest.raises(ManifestUnknown) as refusal:
            memory.check("tag")
        raised.append(refusal.value)
    assert raised[0] is not raised[1]


def test_the_memory_is_bounded_and_forgets_the_oldest_first(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """STYLE: a limit on everything; a client that asks for random tags fills no memory."""
    monkeypatch.setattr(absences, "ABSENCES_MAX", 3)
    memory = Absences()
    for key in ("one", "two", "three", "one", "four"):
        memory.note(key, ManifestUnknown("no"))
    memory.check("two")
    for key in ("three", "one", "four"):
        with pytest.raises(ManifestUnknown):
            memory.check(key)
