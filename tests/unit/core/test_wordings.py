"""How well error texts are understood, by wordings of public reports and by traps.

`tests/data/limit_texts.*.jsonl` holds a text a line: `kind` is the limit that it tells or null, `until` is when that ends (a
time, or seconds after `now`; null when nothing is said), `now` is when it was printed, `source` where it is known from.

- `dev` is what the grammar was tuned on. Its floor is what a change must not lose.
- `held_out` was set aside unseen by the tuning, and is measured only: it says what to expect of wordings that nobody has
  collected. When it is used for tuning one day, it becomes part of `dev`, and fresh wordings take its place.

A limit that is taken for another kind counts against both scores.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from droveway.api.enums import LIMIT_CLASSES
from droveway.core.limits import classify_text

DATA = Path(__file__).parents[2] / "data"
NOW = datetime(2026, 11, 21, 11, 16, tzinfo=UTC)


class Wording(NamedTuple):
    """One line of the set."""

    text: str
    kind: str | None
    until: datetime | None
    now: datetime
    source: str

    @property
    def understood(self) -> str | None:
        """The kind of limit that we take it for."""
        verdict = classify_text(self.text, self.now)
        return verdict.kind if verdict else None

    @property
    def says_until_when(self) -> bool:
        """Whether we read from it when the limit ends, exactly."""
        verdict = classify_text(self.text, self.now)
        told = verdict.until if verdict else None
        if self.until is None or told is None:
            return told is self.until
        return abs(told - self.until) < timedelta(milliseconds=1)

    def __str__(self) -> str:
        return f"{self.source}: wanted {self.kind}, got {self.understood}: {self.text[:160]!r}"


def wordings(part: str) -> Iterator[Wording]:
    for line in (DATA / f"limit_texts.{part}.jsonl").read_text().splitlines():
        found = json.loads(line)
        now, until = datetime.fromisoformat(found["now"]) if "now" in found else NOW, found.get("until")
        if isinstance(until, str):
            until = datetime.fromisoformat(until)
        elif until is not None:
            until = now + timedelta(seconds=until)
        yield Wording(found["text"], found["kind"], until, now, found["source"])


DEV, HELD_OUT = list(wordings("dev")), list(wordings("held_out"))


@pytest.mark.parametrize(
    ("part", "precision", "recall"), [(DEV, 0.98, 0.97), (HELD_OUT, 0.84, 0.91)], ids=["dev", "held-out"]
)
def test_r_l1_texts_are_understood_this_well_at_least(part: list[Wording], precision: float, recall: float) -> None:
    wrong = [wording for wording in part if wording.understood != wording.kind]
    right = sum(1 for wording in part if wording.kind and wording.understood == wording.kind)
    claimed, told = sum(1 for w in part if w.understood), sum(1 for w in part if w.kind)
    errors = "\n".join(map(str, wrong))
    assert right / claimed >= precision, f"precision {right / claimed:.3f}\n{errors}"
    assert right / told >= recall, f"recall {right / told:.3f}\n{errors}"


@pytest.mark.parametrize("wording", [w for w in DEV if w.kind and w.understood == w.kind], ids=lambda w: w.source)
def test_r_l7_a_text_that_is_understood_says_until_when(wording: Wording) -> None:
    assert wording.says_until_when


def test_r_l7_ends_are_read_this_well_at_least_in_what_was_not_tuned_on() -> None:
    understood = [wording for wording in HELD_OUT if wording.kind and wording.understood == wording.kind]
    wrong = [wording for wording in understood if not wording.says_until_when]
    assert len(wrong) / len(understood) <= 0.05, "\n".join(map(str, wrong))


def test_the_set_is_rich_and_half_of_it_are_traps() -> None:
    everything = DEV + HELD_OUT
    traps = [w for w in everything if w.kind is None]
    assert len(everything) >= 240
    assert len(HELD_OUT) >= 60
    assert 0.4 <= len(traps) / len(everything) <= 0.6
    assert len({w.text for w in everything}) == len(everything)
    assert {w.kind for w in everything} == {*LIMIT_CLASSES, None}
    assert all(w.source for w in everything)
    assert sum(1 for w in everything if "#" in w.source) >= len(everything) / 2, "most are known from public reports"
