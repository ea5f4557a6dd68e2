"""From what the agent printed to records: each completion once, news at once, and one final account."""

import json
from dataclasses import replace
from datetime import datetime

from droveway.agents import Outcome, stream_parser
from droveway.api.enums import Access, CostSource, EndClass
from droveway.core.completion import CompletionEvent, TokenBreakdown
from droveway.core.events import TOKEN_FIELDS, Record, RecordKind, record_to_dict
from droveway.core.redaction import one_line
from droveway.core.signatures import SEARCHED, spent_by
from droveway.core.utilization import Reading
from droveway.core.verdict import Verdict
from droveway.sidecar.journal import Journal
from droveway.sidecar.settings import Attempt

RESULT_CHARACTERS = 4097
"""One more than a status holds, so that the operator can tell that it was cut."""

TERMINATION_BYTES = 2048

_STDERR_CHARACTERS = SEARCHED - 512
"""So much of its end is held against the provider's signatures, after the error that the CLI ended with."""

_OF_THE_PROVIDER = frozenset({EndClass.PROVIDER_OUTAGE, EndClass.AUTH_FAILED})

_WRAPPER = "droveway: "
_REFUSED = 127
"""How the wrapper says, on stderr, why it has not started the agent; no parser knows of it."""


class Reporter:
    """Reads one attempt's output through its CLI's parser and writes records to the journal.

    After a restart the output is read again from its beginning, and what the journal holds already is not written again:
    parsers name a completion the same each time (R-C35).

    Attributes:
        final: the last record of the attempt, once there is one.
    """

    def __init__(self, attempt: Attempt, journal: Journal, started_at: datetime) -> None:
        self.final: Record | None = None
        self._attempt = attempt
        self._journal = journal
        self._parser = stream_parser(attempt.cli, attempt.run_uid, attempt.number, started_at)
        self._known: set[str] = set()
        self._session = ""
        self._verdict: Verdict | None = None
        self._told: dict[str, Reading] = {}
        self._refusal = ""
        self._stderr = ""
        self._tokens = TokenBreakdown()
        self._cost: float | None = None
        self._completions = 0
        for record in journal.records():
            self._remember(record)

    def stdout(self, line: str, at: datetime) -> None:
        """One line, printed at `at`."""
        self._take(self._parser.feed(line, at), self._parser.verdict)
        self._tell_news(at)

    def stderr(self, line: str, at: datetime) -> None:
        """One line, printed at `at`."""
        if line.startswith(_WRAPPER):
            self._refusal = one_line(line)  # an agent may print the same beginning
        if self._attempt.signatures:
            self._stderr = f"{self._stderr}\n{line}"[-_STDERR_CHARACTERS:]
        self._parser.feed_stderr(line, at)

    def silence(self, at: datetime, *, stalled: bool) -> None:
        """The agent has been silent for too long, or speaks again."""
        self._append(replace(self._report(at), stalled=stalled))

    def finish(self, exit_code: int | None, at: datetime) -> Record:
        """The agent has ended. None: nobody knows how."""
        outcome = self._by_signatures(self._parser.finish(exit_code, at))
        verdict = self._verdict_of(outcome)
        self._take(outcome.events, verdict)
        refusal = self._refusal if exit_code == _REFUSED else ""
        return self._append(
            replace(
                self._report(at),
                success=outcome.success,
                tokens=self._tokens,
                cost_usd=self._cost,
                cost_source=None if self._cost is None else CostSource.REPORTED,
                error=refusal or outcome.message or None,
                verdict=verdict,
                final=True,
                exit_code=exit_code,
                end_class=outcome.end_class,
                result=outcome.result[:RESULT_CHARACTERS],
                completions=self._completions,
            )
        )

    def _take(self, events: list[CompletionEvent], verdict: Verdict | None) -> None:
        for event in events:
            if event.id and event.id in self._known:
                continue
            record = replace(
                self._report(event.completed_at),
                kind=RecordKind.COMPLETION,
                session_id=event.session_id,
                latency_ms=event.latency_ms,
                success=event.success,
                tokens=event.tokens,
                cost_usd=event.cost_usd,
                cost_source=None if event.cost_usd is None else CostSource.REPORTED,
                error=event.error,
                id=event.id,
                verdict=None if event.success else verdict,
            )
            if self._attempt.access is Access.DIRECT and not self._journal.full:
                self._append(record)
            else:
                self._count(record)

    def _by_signatures(self, outcome: Outcome) -> Outcome:
        """The outcome by the provider's own words for a spent quota."""
        said = f"{outcome.message}{self._stderr}"
        limit = spent_by(self._attempt.signatures, outcome.end_class, said)
        return replace(outcome, end_class=limit.kind, limit=limit) if limit else outcome

    def _verdict_of(self, outcome: Outcome) -> Verdict | None:
        """What the end says of the provider; also when only stderr or the exit code told it."""
        said = self._parser.verdict
        if outcome.limit or outcome.end_class not in _OF_THE_PROVIDER:
            return outcome.limit
        return said if said and said.kind is outcome.end_class else Verdict(outcome.end_class, reason=outcome.message)

    def _tell_news(self, at: datetime) -> None:
        """The session, and what the CLI says of its provider, as soon as they are known."""
        session, verdict = self._parser.session_id, self._parser.verdict
        used = self._news_of_use()
        if (session and session != self._session) or (verdict and verdict != self._verdict) or used:
            self._append(replace(self._report(at), utilization=used))

    def _news_of_use(self) -> tuple[Reading, ...]:
        """Windows of the subscription that are fuller than was told; what is read again after a restart is not.

        Of a Gateway provider the gateway knows more.
        """
        if self._attempt.access is not Access.DIRECT:
            return ()
        told = ((found, self._told.get(found.window)) for found in self._parser.utilization)
        return tuple(found for found, before in told if before is None or _is_fuller(found, before))

    def _report(self, at: datetime) -> Record:
        """Under the candidate's model, whatever the CLI calls it: breakers and telemetry go by that."""
        attempt = self._attempt
        return Record(
            number=0,
            kind=RecordKind.REPORT,
            at=at,
            run=attempt.run,
            run_uid=attempt.run_uid,
            attempt=attempt.number,
            candidate=attempt.candidate,
            provider=attempt.provider,
            model=attempt.model,
            session_id=self._parser.session_id or "",
            verdict=self._parser.verdict,
        )

    def _append(self, record: Record) -> Record:
        record = self._journal.append(record)
        self._remember(record)
        return record

    def _remember(self, record: Record) -> None:
        self._told |= {found.window: found for found in record.utilization}
        if record.final:
            self.final = record
        elif record.kind is RecordKind.REPORT:
            self._session, self._verdict = record.session_id, record.verdict
        else:
            self._known.add(record.id or "")
            self._count(record)

    def _count(self, record: Record) -> None:
        self._completions += 1
        self._tokens = TokenBreakdown(
            **{name: getattr(self._tokens, name) + getattr(record.tokens, name) for name in TOKEN_FIELDS}
        )
        if record.cost_usd is not None:
            self._cost = (self._cost or 0.0) + record.cost_usd


def _is_fuller(found: Reading, before: Reading) -> bool:
    """Within a window use only grows; a window that began anew ends later."""
    later = (found.resets_at or found.at, found.used_percent) > (before.resets_at or before.at, before.used_percent)
    return later and not found.says_the_same(before)


def termination_message(final: Record) -> bytes:
    """The final record without the agent's words, small enough for every kubelet."""
    short = replace(final, result="")
    for room in (256, 128, 32, 0):
        verdict = short.verdict and replace(short.verdict, reason=short.verdict.reason[:room])
        short = replace(short, error=(short.error or "")[:room] or None, verdict=verdict)
        message = json.dumps(record_to_dict(short), ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        if len(message) <= TERMINATION_BYTES:
            break
    return message
