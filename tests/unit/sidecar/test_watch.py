import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from droveway.api.enums import EndClass
from droveway.core.events import Batch, Record, record_from_dict
from droveway.sidecar.delivery import Delivery, NotTaken
from droveway.sidecar.journal import Journal
from droveway.sidecar.settings import Attempt
from droveway.sidecar.watch import CLOSE_SECONDS, Watch
from helpers.attempt import ENV, NOON, limit, paths_in, said, spent, step


class Pod:
    """A pod on a clock that the test moves: an agent prints, a sidecar watches, an operator listens."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = paths_in(root)
        self.clock = 0.0
        self.told: list[Record] = []
        self.away = False
        self.start()

    def start(self) -> None:
        """A new sidecar process: the first, or after a crash."""
        journal = Journal(self.paths.journal)
        attempt = Attempt.from_env(ENV)
        self.paths.termination_log.write_bytes(b"")
        self.watch = Watch(attempt, self.paths, journal, Delivery(attempt, journal, self.send), NOON)

    def send(self, batch: Batch) -> int:
        if self.away:
            raise NotTaken("away")
        known = {r.number for r in self.told}
        self.told += [r for r in batch.records if r.number not in known]
        return batch.records[-1].number

    def prints(self, *lines: str, stream: str = "stdout") -> None:
        with (self.paths.stream / f"{stream}.1").open("a") as file:
            file.write("".join(line + "\n" for line in lines))

    def exits(self, code: int) -> None:
        self.paths.exit.write_text(f"{code}\n")

    def after(self, seconds: float) -> None:
        self.clock += seconds
        while self.watch.step(NOON + timedelta(seconds=self.clock), self.clock):
            pass

    def terminated(self) -> None:
        def pause(seconds: float) -> None:
            self.clock += seconds

        self.watch.close(NOON + timedelta(seconds=self.clock), lambda: self.clock, pause)

    @property
    def message(self) -> Record:
        return record_from_dict(json.loads(self.paths.termination_log.read_text()))

    @property
    def totals(self) -> list[int]:
        """Tokens of the completions that the operator knows."""
        return [r.tokens.total for r in self.told if r.id]

    @property
    def stalls(self) -> list[tuple[float, bool]]:
        return [((r.at - NOON).total_seconds(), r.stalled) for r in self.told if not r.id and not r.session_id]


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    pod = Pod(tmp_path)
    yield pod
    pod.away = True
    pod.terminated()


def test_a_clean_run_is_told_from_the_first_line_to_the_last(pod: Pod) -> None:
    pod.after(1)
    pod.prints(said("hello"), step(100))
    pod.after(1)
    assert pod.totals == [100]
    pod.prints(step(20, reason="stop"))
    pod.exits(0)
    pod.after(1)
    assert pod.totals == [100, 20]
    assert (pod.told[-1].final, pod.told[-1].result) == (True, "hello")
    assert (pod.message.final, pod.message.end_class, pod.message.result) == (True, EndClass.SUCCEEDED, "")
    told = len(pod.told)
    pod.after(100)
    pod.terminated()
    assert len(pod.told) == told


def test_the_final_record_is_left_before_anything_is_delivered(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[Record] = []

    def send(batch: Batch) -> int:
        left.append(pod.message)
        return batch.records[-1].number

    monkeypatch.setattr(pod.watch._delivery, "_send", send)
    pod.prints(step(1, reason="stop"))
    pod.exits(0)
    pod.after(1)
    assert left[0].final


def test_a_last_line_without_an_end_counts(pod: Pod) -> None:
    with (pod.paths.stream / "stdout.1").open("w") as file:
        file.write(step(7, reason="stop"))
    pod.after(1)
    assert pod.totals == []
    pod.exits(0)
    pod.after(1)
    assert pod.totals == [7]


def test_a_limit_is_told_in_the_same_step(pod: Pod) -> None:
    pod.prints(said("hello"))
    pod.after(1)
    pod.prints(limit())
    pod.after(0.1)
    assert [r.verdict.kind for r in pod.told if r.verdict] == [EndClass.SUBSCRIPTION_LIMIT]


def test_silence_is_told_at_once_and_again_until_it_ends(pod: Pod) -> None:
    pod.after(500)  # the agent's image is being pulled
    pod.prints("no JSON, so no session")
    pod.after(1)
    for _ in range(130):
        pod.after(1)
    assert pod.stalls == [(561, True), (591, True), (621, True)]
    pod.prints("it speaks", stream="stderr")
    pod.after(1)
    pod.after(1)
    assert pod.stalls[3:] == [(632, False)]
    for _ in range(60):
        pod.after(1)
    assert pod.stalls[4:] == [(692, True)]


def test_an_agent_that_says_nothing_at_all_stalls_too(pod: Pod) -> None:
    pod.prints()
    pod.after(1)
    pod.after(60)
    assert pod.stalls == [(61, True)]


def test_an_agent_that_was_there_first_has_not_been_silent_since_the_machine_started(pod: Pod) -> None:
    pod.clock = 100_000  # monotonic clocks begin somewhere
    pod.start()
    pod.prints()
    pod.after(1)
    pod.after(59)
    assert pod.stalls == []
    pod.after(1)
    assert pod.stalls == [(100_061, True)]


def test_without_a_stall_timeout_silence_is_golden(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENV, "DROVEWAY_STALL_SECONDS", "0")
    pod.start()
    pod.prints()
    pod.after(1)
    pod.after(100_000)
    assert pod.told == []


def test_an_absent_operator_gets_everything_later(pod: Pod) -> None:
    pod.away = True
    for tokens in range(1, 6):
        pod.prints(step(tokens))
        pod.after(10)
    assert pod.told == []
    pod.away = False
    pod.after(20)
    assert pod.totals == [1, 2, 3, 4, 5]


def test_a_killed_sidecar_goes_on_where_it_was(pod: Pod) -> None:
    pod.prints(step(1), step(2))
    pod.after(1)
    pod.away = True
    pod.prints(step(3))
    pod.after(1)
    pod.start()
    pod.prints(step(4, reason="stop"))
    pod.away = False
    pod.after(1)
    pod.exits(0)
    pod.after(1)
    assert pod.totals == [1, 2, 3, 4]
    assert (pod.message.completions, pod.message.tokens) == (4, spent(10))
    assert [r.number for r in pod.told] == list(range(1, len(pod.told) + 1))


def test_a_sidecar_that_starts_after_the_end_leaves_the_same_record(pod: Pod) -> None:
    pod.prints(step(1, reason="stop"))
    pod.exits(0)
    pod.away = True
    pod.after(1)
    final = pod.message
    pod.start()
    assert pod.message == final
    pod.away = False
    pod.after(20)
    assert [r.final for r in pod.told].count(True) == 1


@pytest.mark.parametrize(
    ("end", "code", "end_class"),
    [
        pytest.param(lambda pod: pod.exits(0), 0, EndClass.SUCCEEDED, id="the agent had ended"),
        pytest.param(lambda _: None, None, EndClass.UNKNOWN, id="its wrapper was killed"),
        pytest.param(lambda pod: pod.paths.exit.touch(), None, EndClass.UNKNOWN, id="the disk was full"),
    ],
)
def test_sigterm_before_anything_was_read(
    pod: Pod, end: Callable[[Pod], None], code: int | None, end_class: EndClass
) -> None:
    pod.prints(step(1), step(2, reason="stop"))
    end(pod)
    pod.terminated()
    assert (pod.message.exit_code, pod.message.end_class, pod.message.tokens) == (code, end_class, spent(3))
    assert pod.totals[:2] == [1, 2]


def test_the_last_delivery_is_tried_again_but_not_for_long(pod: Pod) -> None:
    pod.prints(step(1, reason="stop"))
    pod.exits(0)
    pod.away = True
    pod.terminated()
    assert pod.clock == CLOSE_SECONDS
    assert pod.message.final


def test_a_time_is_that_of_the_line_and_not_of_the_reading(pod: Pod) -> None:
    """After a restart `resets in` still counts from when it was printed."""
    pod.prints(limit(3600))
    printed = NOON - timedelta(seconds=600)
    os.utime(pod.paths.stream / "stdout.1", (printed.timestamp(), printed.timestamp()))
    pod.after(1)
    (verdict,) = [r.verdict for r in pod.told if r.verdict]
    assert verdict.until == printed + timedelta(seconds=3600)
