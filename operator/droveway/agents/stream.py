"""From the lines of a run to completion events and exactly one outcome (R-P9, R-C1, R-C2)."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from droveway.agents.evidence import OVER, Failure, died_by_signal, judge_status, judge_stderr, may_be_evidence
from droveway.agents.identity import Identities
from droveway.agents.lines import Lines, text
from droveway.api.enums import EndClass
from droveway.core.completion import CompletionEvent, TokenBreakdown
from droveway.core.redaction import one_line, redact
from droveway.core.utilization import Reading
from droveway.core.verdict import Verdict

RESULT_LIMIT = 8192
"""Characters of the agent's final text that are kept: more than any caller keeps, so that it can tell that it was cut."""

NO_TOKENS = TokenBreakdown()

_NAME_LIMIT = 256  # characters of a session or a model
_HELD = 64  # failed completions that wait for the end of the run
_HINTS = 32  # places of stderr that are judged when a run has failed, the last first
_STDERR_TAIL = 3  # lines read together: some errors put the reset time on a line of its own
_STDERR_LIMIT = 2048  # characters of each
_NOTHING = Failure("", OVER)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        success: the CLI ended well and said so.
        end_class: why it ended.
        session_id: the CLI's own, None when it named none.
        limit: the quota that was spent, if that is why; None also when its reset has passed already.
        message: what was said about the failure, one redacted line; "" after a success.
        events: completions that `feed` has not returned.
        result: the agent's final text, redacted.
        model: the last one that the stream named, else "".
    """

    success: bool
    end_class: EndClass
    session_id: str | None = None
    limit: Verdict | None = None
    message: str = ""
    events: list[CompletionEvent] = field(default_factory=list)
    result: str = ""
    model: str = ""


class Completion(NamedTuple):
    """What one line says about the completions behind it."""

    tokens: TokenBreakdown = NO_TOKENS
    model: str = ""
    latency_ms: float | None = None
    cost_usd: float | None = None


class StreamParser(ABC):
    """Reads one attempt's stdout line by line. It never raises, whatever the lines and the exit code are (R-C2).

    A subclass reads the objects of its CLI and calls `_completed`, `_ended_well`, `_failed` and `_noted`. A failed
    completion is held back until the end: a run that recovers yields none (R-C34).

    Attributes:
        session_id: the CLI's own, None while it has named none.
        model: the last one that the stream named, else "".
        utilization: how full the windows of the subscription are, as last told.
    """

    needs_exit_code = False
    """Whether the stream has no final event, so that only exit code 0 makes a success (R-C29)."""

    def __init__(self, run_id: str, attempt: int, started_at: datetime) -> None:
        del started_at  # for CLIs that leave durations out
        self.session_id: str | None = None
        self.model = ""
        self.utilization: tuple[Reading, ...] = ()
        self.lines = Lines()
        self._identities = Identities(run_id, attempt)
        self._session = run_id
        self._text = ""
        self._fresh: list[CompletionEvent] = []
        self._held: list[CompletionEvent] = []
        self._result = ""
        self._ended: bool | None = None
        self._failure: Failure | None = None
        self._limit: Verdict | None = None
        self._note: Failure | None = None
        self._stderr: deque[str] = deque(maxlen=_STDERR_TAIL)
        self._stderr_lines = Lines()
        self._hinted = 0
        self._hints: deque[tuple[str, datetime]] = deque(maxlen=_HINTS)
        self._outcome: Outcome | None = None

    @property
    def verdict(self) -> Verdict | None:
        """What the CLI itself has said so far about its provider: a limit it met, or the error it failed with."""
        return self._limit or (self._failure.verdict if self._failure else None)

    def feed(self, line: str, at: datetime) -> list[CompletionEvent]:
        """One line of stdout, read at `at`: the completions that it tells of."""
        if self._outcome is None:
            self._take(line, at)
        if not self._fresh:
            return []
        fresh, self._fresh = self._fresh, []
        return fresh

    def feed_stderr(self, line: str, at: datetime) -> None:
        """One line of stderr: evidence of a failed run (R-L1)."""
        if not (line := text(self._stderr_lines.clean(line)[:_STDERR_LIMIT])):
            return
        self._stderr.append(line)
        self._hinted = _STDERR_TAIL if may_be_evidence(line) else self._hinted - 1
        if self._hinted > 0:
            self._hints.append((" ".join(self._stderr), at))

    def finish(self, exit_code: int | None, at: datetime) -> Outcome:
        """The outcome; None: the exit code is unknown, negative: killed by that signal. Again: the same outcome."""
        if self._outcome is None:
            last = self.feed(self.lines.rest(), at)
            self._outcome = self._conclude(exit_code, at, last)
        return self._outcome

    @abstractmethod
    def _read(self, line: dict[str, Any], at: datetime) -> None:
        """Reads one object of the stream."""

    def _status_of_exit(self, exit_code: int) -> int | None:
        """The HTTP status that an exit code stands for."""
        del exit_code
        return None

    # What subclasses tell.

    def _in_session(self, name: object) -> None:
        """What a line calls the session, mostly what the line before called it."""
        if name != self.session_id:
            self.session_id = text(name)[:_NAME_LIMIT] or self.session_id

    def _with_model(self, name: object) -> None:
        """What a line calls the model."""
        if name != self.model:
            self.model = _model(name) or self.model

    def _completed(self, completion: Completion, at: datetime) -> None:
        """A completion that went well: told at once."""
        self._fresh.append(self._event(completion, at))

    def _ended_well(self, result: str | None = None) -> None:
        """The terminal event of a success, or a step after which the run may end. What failed before is overcome."""
        self._ended, self._failure = True, None
        self._overcome(len(self._held))
        if result is not None:
            self._keep_result(result)

    def _keep_result(self, result: str) -> None:
        self._result = result[:RESULT_LIMIT]

    def _failed(self, failure: Failure, spent: Sequence[Completion] = (Completion(),)) -> None:
        """The terminal event of a failure; a later one replaces it. `spent`: what the failed completions used."""
        self._ended, self._failure = False, failure
        error = failure.message[:RESULT_LIMIT]
        self._held = [event for event in self._held if event.tokens.total]
        self._held += [self._event(completion, failure.at, error) for completion in spent]
        self._overcome(len(self._held) - _HELD)

    def _noted(self, failure: Failure) -> None:
        """An error that need not be the end: evidence only if nothing better comes, and the run does not go on."""
        self._note = failure

    def _went_on(self) -> None:
        """The agent works: what was noted before is overcome."""
        self._note = None

    # How it is put together.

    def _overcome(self, count: int) -> None:
        """The oldest failed completions that are held back count as good ones, if they used anything."""
        if count > 0:
            oldest, self._held = self._held[:count], self._held[count:]
            self._fresh += [replace(event, success=True, error=None) for event in oldest if event.tokens.total]

    def _take(self, line: str, at: datetime) -> None:
        for told, words in self.lines.objects(line):
            self._text = words
            self._read(told, at)

    def _event(self, completion: Completion, at: datetime, error: str | None = None) -> CompletionEvent:
        return CompletionEvent(
            model=(completion.model and _model(completion.model)) or self.model,
            session_id=self.session_id or self._session,
            completed_at=at,
            latency_ms=completion.latency_ms or None,
            success=error is None,
            tokens=completion.tokens,
            cost_usd=completion.cost_usd,
            error=error,
            id=self._identities.name(self._text),
        )

    def _conclude(self, exit_code: int | None, at: datetime, last: Sequence[CompletionEvent]) -> Outcome:
        if self._ended and (exit_code == 0 or (exit_code is None and not self.needs_exit_code)):
            return self._as_outcome(EndClass.SUCCEEDED, None, "", last)
        verdict, said = self._why(exit_code)
        message = _brief(said)
        unclear = exit_code is None or (self._killed(exit_code) and self._ended is not False)
        end_class = verdict.kind if verdict else EndClass.UNKNOWN if unclear else EndClass.AGENT_FAILED
        events = [replace(event, error=_brief(event.error or "") or message) for event in self._held]
        if not events and self.lines.read_total:
            self._text = "outcome"
            events = [self._event(Completion(), at, message)]
        limit = verdict or self._limit
        if limit and (not limit.is_limit or limit.until == OVER):
            limit = None
        return self._as_outcome(end_class, limit, message, [*last, *events])

    def _as_outcome(
        self, end_class: EndClass, limit: Verdict | None, message: str, events: Sequence[CompletionEvent]
    ) -> Outcome:
        return Outcome(
            success=end_class is EndClass.SUCCEEDED,
            end_class=end_class,
            session_id=self.session_id,
            limit=limit,
            message=message,
            events=list(events),
            result=redact(self._result.strip()),
            model=self.model,
        )

    def _why(self, exit_code: int | None) -> tuple[Verdict | None, str]:
        """What the run failed of, and the words for it. Structured fields first, then stderr, then the exit code."""
        over = self._ended and not self.needs_exit_code
        if self._failure is None and (over or exit_code is None or self._killed(exit_code)):
            return None, _ending(exit_code, self._ended)
        told = self._failure or _NOTHING
        noted = self._note or _NOTHING
        verdict = told.verdict or noted.verdict or self._from_stderr() or self._from_exit(exit_code)
        if self._limit and (told.verdict is None or told.verdict.is_limit):
            verdict = self._limit
        words = told.message or noted.message or (verdict.reason if verdict else "") or " ".join(self._stderr)
        return verdict, words or _ending(exit_code, self._ended)

    def _killed(self, exit_code: int) -> bool:
        return died_by_signal(exit_code) and self._status_of_exit(exit_code) is None

    def _from_exit(self, exit_code: int | None) -> Verdict | None:
        status = self._status_of_exit(exit_code) if exit_code is not None else None
        return judge_status(status) if status else None

    def _from_stderr(self) -> Verdict | None:
        """The last verdict that stderr holds."""
        verdicts = (judge_stderr(hint, at) for hint, at in reversed(self._hints))
        return next(filter(None, verdicts), None)


def known_cost(cost: float | None, tokens: TokenBreakdown) -> float | None:
    """What a CLI with prices of its own says. Nothing for tokens: no price is configured, so it is unknown (R-T12)."""
    return cost if cost or not tokens.total else None


def _model(name: object) -> str:
    named = text(name)[:_NAME_LIMIT]
    return "" if named == "<synthetic>" else named  # R-C11


def _brief(message: str) -> str:
    """One redacted line; of a huge text only so much is looked through."""
    return one_line(" ".join(message.split())[:RESULT_LIMIT])


def _ending(exit_code: int | None, ended: bool | None) -> str:
    how = "with unknown exit code" if exit_code is None else f"with exit code {exit_code}"
    return f"ended {how} {'after' if ended else 'without'} a final event"
