"""What an error means that a command line printed. Only error fields and stderr come here, never the agent's words (R-P10)."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from droveway.api.enums import EndClass
from droveway.core.limits import classify_text, find_limit, speaks_of_overload
from droveway.core.redaction import one_line
from droveway.core.resets import clamp, from_epoch
from droveway.core.verdict import Scope, Verdict

OVER = datetime(1970, 1, 1, tzinfo=UTC)
"""`until` of a limit whose reset had passed when it was named: none is set (R-C16), but the end still has its name."""

_SIGNALS = frozenset({*range(1, 16), 24, 25, 31})
"""Those by which a process is ended: the old ones, CPU time, file size, a forbidden system call."""

_EVIDENCE_LIMIT = 8192  # of a longer error the first and the last half count
_HINTS = (
    *(
        "limit",
        "quota",
        "credit",
        "balance",
        "billing",
        "spend",
        "usage",
        "exhaust",
        "too many",
        "capacity",
        "overload",
    ),
    *("status", "http", "code", "error", "failed", "key", "auth", "token", "login", "connect", "network", "socket"),
    *("timed", "timeout", "terminated", "reset", "again"),
)
_OVERLOAD_CODE = re.compile(r"\b(?:overloaded_error|server_is_overloaded)\b")
_STATUS = re.compile(
    r"""(?: \bstatus(?:\s?code)?\W{1,3} | \bHTTP\W{1,3} | \blast\ error:\s | "code":\s*
    | \bAPI\ error:\s | \brejected\ \( ) ([45]\d\d) \b""",
    re.IGNORECASE | re.VERBOSE,
)
_LEADING_STATUS = re.compile(r"([45]\d\d)\s")
_AUTH = re.compile(
    r"(?:invalid|incorrect|expired|missing|revoked) (?:\w+ )?(?:api[ _-]?key|token|credential)"
    r"|api[ _]key[ _](?:not valid|invalid)"
    r"|token (?:has |is )?expired|authentication(?:_error| failed)|\bunauthorized\b|please run /login",
    re.IGNORECASE,
)
_REJECTED = re.compile(
    r"context (?:window|length)|maximum context|context_length_exceeded|prompt is too long|content[ _-]?filter|refusal"
    r"|\bmodels?\b.{0,80}(?:not found|does not exist|may not exist)|model_not_found",
    re.IGNORECASE,
)
_OUTAGE = re.compile(
    r"overloaded|at capacity|high demand|(?:server|internal) (?:had an )?error|service unavailable|bad gateway"
    r"|stream (?:disconnected|ended)|other side closed|unexpected eof|socket hang up|fetch failed|network error"
    r"|connection (?:error|refused|reset|closed)|\b(?:ECONN\w+|ENOTFOUND|EAI_AGAIN|ETIMEDOUT)\b"
    r"|timed out|\btimeout\b|\bterminated\b",
    re.IGNORECASE,
)


@dataclass(slots=True, eq=False)
class Failure:
    """An error as it was told. It is judged when somebody asks: most errors are overcome, and judging is slow.

    Attributes:
        message: for people.
        at: when it was told.
        beside: what else was said that counts as evidence.
        status: the HTTP status that stands beside it.
        known: what it means, where that is certain.
    """

    message: str
    at: datetime
    beside: str = ""
    status: float | None = None
    known: Verdict | None = None
    _judged: bool = field(default=False, init=False)

    @property
    def verdict(self) -> Verdict | None:
        """What it means; None when it says nothing about the provider."""
        if not self.known and not self._judged:
            self._judged = True
            status = int(self.status) if self.status and 400 <= self.status < 600 else None
            self.known = judge(f"{self.message}\n{self.beside}".strip(), self.at, status)
        return self.known


def judge(evidence: str, at: datetime, status: int | None = None) -> Verdict | None:
    """The verdict of an error field, at the line's own time; None when it says nothing about the provider.

    Structure beats text (R-L2): a status of 500 and above is an outage whatever the text says, and so is an
    overload that came as a 429 (R-C38).
    """
    evidence = _bounded(evidence)
    status = status or _status(evidence)
    if (status and _is_outage(status)) or _OVERLOAD_CODE.search(evidence):
        return _verdict(EndClass.PROVIDER_OUTAGE, evidence)
    if limit := classify_text(evidence, at):
        return limit
    if over := find_limit(evidence):
        return Verdict(over.kind, OVER, over.scope, over.line)
    if status in {None, 429} and speaks_of_overload(evidence):
        return _verdict(EndClass.PROVIDER_OUTAGE, evidence)
    kind = _by_status(status, evidence) or _by_phrase(evidence)
    return _verdict(kind, evidence) if kind else None


def may_be_evidence(line: str) -> bool:
    """Whether a line of stderr is worth keeping until the run has failed: most are not, and `judge` is slow."""
    line = line.lower()
    return any(hint in line for hint in _HINTS)


def judge_stderr(line: str, at: datetime) -> Verdict | None:
    """As `judge`, for free text: nothing there is sure enough to say that the request itself was at fault."""
    stated = _STATUS.search(line)
    verdict = judge(line, at, int(stated[1]) if stated else None)
    return verdict if verdict and verdict.kind is not EndClass.REQUEST_REJECTED else None


def judge_status(status: int) -> Verdict | None:
    """What an HTTP status alone says."""
    kind = EndClass.PROVIDER_OUTAGE if _is_outage(status) else _by_status(status, "")
    return _verdict(kind, f"the provider answered {status}") if kind else None


def rejected_until(epoch: float, at: datetime) -> datetime | None:
    """When a limit with this reset ends."""
    reset = from_epoch(epoch)
    return reset and (clamp(reset, at) if reset > at else OVER)


def died_by_signal(exit_code: int) -> bool:
    """Negative: by that signal; 128 + n: as a shell reports it."""
    return exit_code < 0 or exit_code - 128 in _SIGNALS


def _bounded(evidence: str) -> str:
    half = _EVIDENCE_LIMIT // 2
    return evidence if len(evidence) <= _EVIDENCE_LIMIT else f"{evidence[:half]}\n{evidence[-half:]}"


def _status(evidence: str) -> int | None:
    found = _LEADING_STATUS.match(evidence) or _STATUS.search(evidence)
    return int(found[1]) if found else None


def _is_outage(status: int) -> bool:
    return status >= 500 or status in {408, 425}


def _by_status(status: int | None, evidence: str) -> EndClass | None:
    if status == 429:
        return EndClass.RATE_LIMITED
    if status == 402:
        return EndClass.BALANCE_EXHAUSTED
    if status in {401, 403} or (status and _AUTH.search(evidence)):
        return EndClass.AUTH_FAILED
    return EndClass.REQUEST_REJECTED if status else None


def _by_phrase(evidence: str) -> EndClass | None:
    if _AUTH.search(evidence):
        return EndClass.AUTH_FAILED
    if _REJECTED.search(evidence):
        return EndClass.REQUEST_REJECTED
    return EndClass.PROVIDER_OUTAGE if _OUTAGE.search(evidence) else None


def _verdict(kind: EndClass, evidence: str) -> Verdict:
    scopes = {
        EndClass.REQUEST_REJECTED: Scope.REQUEST,
        EndClass.RATE_LIMITED: Scope.QUOTA_GROUP,
        EndClass.BALANCE_EXHAUSTED: Scope.QUOTA_GROUP,
    }
    return Verdict(kind, None, scopes.get(kind, Scope.PROVIDER), one_line(evidence))
