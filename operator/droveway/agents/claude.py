"""Claude Code: `claude -p --output-format stream-json`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from droveway.agents.evidence import Failure, rejected_until
from droveway.agents.lines import fields, items, text
from droveway.agents.stream import Completion, StreamParser
from droveway.api.enums import Access, EndClass
from droveway.core.completion import TokenBreakdown
from droveway.core.families import FAMILIES
from droveway.core.launch import Launch, LaunchRequest
from droveway.core.redaction import one_line
from droveway.core.resets import from_epoch
from droveway.core.utilization import Reading, reading
from droveway.core.verdict import Scope, Verdict

_QUIET = (
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("DISABLE_TELEMETRY", "1"),
    ("DISABLE_ERROR_REPORTING", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
    ("IS_SANDBOX", "1"),  # the pod is one; without it the permissions flag is refused to root
)

_COUNTS = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "cache_read_input_tokens": "cacheReadInputTokens",
    "cache_creation_input_tokens": "cacheCreationInputTokens",
}
"""What `usage` and `modelUsage` call the same."""


def launch(request: LaunchRequest) -> Launch:
    """Through the gateway with the run key, or with the subscription's OAuth token straight to the vendor."""
    argv = ["claude", "-p", "--output-format", "stream-json", "--verbose", "--model", request.model]
    argv += ["--dangerously-skip-permissions", *request.args]
    argv += ["--", request.prompt] if request.prompt is not None else []
    stdin = request.prompt_file if request.prompt is None else None
    endpoint = (("ANTHROPIC_BASE_URL", request.url),) if request.url else ()
    if request.access is Access.DIRECT:
        return Launch(tuple(argv), (*endpoint, *_QUIET), login_env="CLAUDE_CODE_OAUTH_TOKEN", stdin=stdin)
    ours = (
        ("CLAUDE_CODE_MAX_RETRIES", "3"),
        ("ANTHROPIC_DEFAULT_HAIKU_MODEL", request.model),  # its helper model: the route has none but this
        ("CLAUDE_CODE_SUBAGENT_MODEL", request.model),
    )
    return Launch(tuple(argv), (*endpoint, *_QUIET, *ours), key_env=("ANTHROPIC_API_KEY",), stdin=stdin)


class ClaudeParser(StreamParser):
    """Only `result` counts: the usage of an `assistant` line is that at the start of its stream."""

    def __init__(self, run_id: str, attempt: int, started_at: datetime) -> None:
        super().__init__(run_id, attempt, started_at)
        self._refused = False
        self._told: dict[str, dict[str, float | None]] = {}

    def _read(self, line: dict[str, Any], at: datetime) -> None:
        self._in_session(line.get("session_id"))
        match line.get("type"):
            case "assistant" if text(line, "message", "model") != "<synthetic>":
                self._went_on()
            case "system":
                self._system(line, at)
            case "rate_limit_event":
                self._limited(fields(line, "rate_limit_info"), at)
            case "result":
                self._ended_with(line, at)

    def _system(self, line: dict[str, Any], at: datetime) -> None:
        match line.get("subtype"):
            case "init":
                self._with_model(line.get("model"))
            case "api_retry":
                message = f"{text(line, 'error')} {text(line, 'message')}".strip()
                self._noted(Failure(message, at, status=self.lines.number(line, "error_status")))
            case "model_refusal_no_fallback":
                self._refused = True

    def _ended_with(self, line: dict[str, Any], at: datetime) -> None:
        spent = self._spent(line)
        self._with_model(spent[0].model)
        if not line.get("is_error") and text(line, "subtype") in {"", "success"}:
            for completion in spent:
                self._completed(completion, at)
            self._ended_well(text(line, "result"))
        else:
            self._limited(fields(line, "api_error_params", "rate_limit_info"), at)
            self._failed(self._failure_of(line, at), spent)
        self._refused = False

    def _failure_of(self, line: dict[str, Any], at: datetime) -> Failure:
        """An error result has its text in `result` or `errors`, its kind in `subtype`."""
        errors = " ".join(map(text, items(line, "errors")))
        message = text(line, "result") or errors or text(line, "error") or text(line, "subtype")
        if self._refused or text(line, "stop_reason") == "refusal":
            return Failure(
                message, at, known=Verdict(EndClass.REQUEST_REJECTED, None, Scope.REQUEST, one_line(message))
            )
        codes = f"{text(line, 'api_error')} {text(line, 'api_error_type')}"
        return Failure(message, at, codes, self.lines.number(line, "api_error_status"))

    def _limited(self, info: dict[str, Any], at: datetime) -> None:
        """`allowed` and `allowed_warning` are no limits (R-C36); of the rejected windows the last reset counts."""
        self.utilization = self._windows(info, at) or self.utilization
        if text(info, "status") != "rejected":
            return
        window = text(info, "rateLimitType")
        rejected = [w for w in fields(info, "unifiedWindows").values() if text(w, "status") == "rejected"]
        resets = [r for w in [info, *rejected] if (r := self.lines.number(w, "resetsAt"))]
        until = rejected_until(max(resets), at) if resets else None
        scope = Scope.MODEL_FAMILY if window.rpartition("_")[2] in FAMILIES else Scope.QUOTA_GROUP
        reason = one_line(f"the {window or 'usage'} window of the subscription is spent")
        self._limit = Verdict(EndClass.SUBSCRIPTION_LIMIT, until, scope, reason)

    def _windows(self, info: dict[str, Any], at: datetime) -> tuple[Reading, ...]:
        windows = fields(info, "unifiedWindows") or {text(info, "rateLimitType"): info}
        told = []
        for name, window in ((name, fields(window)) for name, window in windows.items()):
            length, _, family = name.replace("five_hour", "5h").replace("seven_day", "7d").partition("_")
            used, resets = self.lines.number(window, "utilization"), self.lines.number(window, "resetsAt")
            told.append(reading(f"{length}_{family}" if family else length, used, from_epoch(resets), at))
        return tuple(found for found in told if found)

    def _spent(self, line: dict[str, Any]) -> list[Completion]:
        """`usage` is the count of this result; the models only split it (R-C33)."""
        usage = self.lines.counts(line, "usage")
        counts = self.lines.wholes(usage, _COUNTS)
        latency, added = self.lines.number(line, "duration_ms"), self._added(line)
        models = [name for name, used in added.items() if name and any(map(used.get, _COUNTS.values()))]
        if len(models) < 2:
            name = models[0] if models else next(filter(None, added), "")
            return [Completion(_tokens(counts), name, latency, added[""]["cost"])]
        split = [
            _shares(count, [int(added[model][name] or 0) for model in models])
            for count, name in zip(counts, _COUNTS.values(), strict=True)
        ]
        return sorted(
            (
                Completion(_tokens(shares), model, latency, added[model]["cost"])
                for model, shares in zip(models, zip(*split, strict=True), strict=True)
            ),
            key=lambda completion: -completion.tokens.total,
        )

    def _added(self, line: dict[str, Any]) -> dict[str, dict[str, float | None]]:
        """Cost and models, which count up over a session: what this result added, by model; under "" the whole."""
        told: dict[str, dict[str, float | None]] = {"": {"cost": self.lines.number(line, "total_cost_usd")}}
        for model, used in fields(line, "modelUsage").items():
            if model != "<synthetic>" and isinstance(used, dict):
                names = _COUNTS.values()
                told[model] = dict(zip(names, self.lines.wholes(used, names), strict=True))
                told[model]["cost"] = self.lines.number(used, "costUSD")
        before, self._told = self._told, told
        added = {model: _difference(used, before.get(model, {})) for model, used in told.items()}
        begun_anew = any(n < 0 for used in added.values() for n in used.values() if n is not None)
        return told if begun_anew else added


def _tokens(counts: Sequence[int]) -> TokenBreakdown:
    read_in, out, cache_read, cache_write = counts
    return TokenBreakdown(sum(counts), read_in, out, 0, cache_read, cache_write)


def _difference(now: dict[str, float | None], before: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if count is None else count - (before.get(name) or 0) for name, count in now.items()}


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """The total split in proportion, exactly: what rounding leaves over goes to the largest."""
    if not sum(weights):
        return [total, *[0] * (len(weights) - 1)]
    shares = [total * weight // sum(weights) for weight in weights]
    shares[weights.index(max(weights))] += total - sum(shares)
    return shares
