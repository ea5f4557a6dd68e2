import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from droveway.api.enums import EndClass
from droveway.api.errors import Bug
from droveway.core.events import Record, RecordKind, record_from_dict, record_to_dict
from droveway.core.verdict import Verdict
from droveway.sidecar import journal
from droveway.sidecar.journal import Journal
from droveway.sidecar.report import RESULT_CHARACTERS, TERMINATION_BYTES, Reporter, termination_message
from droveway.sidecar.settings import Attempt
from helpers.attempt import ENV, NOON, limit, said, spent, step

RESET = int((NOON + timedelta(hours=2)).timestamp())


class Desk:
    """A reporter, what it has read so far, and its journal."""

    def __init__(self, path: Path, **env: str) -> None:
        self.path = path
        self.attempt = Attempt.from_env(ENV | env)
        self.printed: list[str] = []
        self.start()

    def start(self) -> None:
        """As after a crash: only the journal and the stream are left."""
        self.reporter = Reporter(self.attempt, Journal(self.path), NOON)
        for line in self.printed:
            self.reporter.stdout(line, NOON)

    def reads(self, *lines: str) -> None:
        self.printed += lines
        for line in lines:
            self.reporter.stdout(line, NOON)

    @property
    def records(self) -> list[Record]:
        return list(Journal(self.path).records())

    @property
    def completions(self) -> list[Record]:
        return [r for r in self.records if r.kind is RecordKind.COMPLETION]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "journal")


@pytest.fixture
def gateway_desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "journal", DROVEWAY_ACCESS="Gateway")


def test_a_completion_says_whose_it_is(desk: Desk) -> None:
    desk.reads(step(100))
    (told,) = desk.completions
    assert (told.run, told.run_uid, told.attempt) == ("fix-it", "uid-1", 2)
    assert (told.candidate, told.provider, told.model) == ("sonnet", "anthropic", "claude-sonnet-4-5")
    assert (told.session_id, told.tokens, told.cost_usd) == ("session-1", spent(100), 0.01)


def test_a_completion_counts_for_the_candidates_model_whatever_the_cli_calls_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "journal", DROVEWAY_CLI="claude")
    usage = {"input_tokens": 5, "output_tokens": 5}
    desk.reads(
        json.dumps({"type": "system", "subtype": "init", "session_id": "s", "model": "claude-sonnet-4-5-20250929"}),
        json.dumps({"type": "result", "subtype": "success", "is_error": False, "result": "ok", "usage": usage}),
    )
    final = desk.reporter.finish(0, NOON)
    assert [r.model for r in (*desk.completions, final)] == ["claude-sonnet-4-5"] * 2


@pytest.mark.parametrize(
    ("stderr", "end_class"),
    [
        pytest.param("503 Service Unavailable: overloaded", EndClass.PROVIDER_OUTAGE, id="an outage"),
        pytest.param("401 Unauthorized: invalid api key", EndClass.AUTH_FAILED, id="a refused login"),
    ],
)
def test_what_only_stderr_said_of_the_provider_is_a_verdict_too(desk: Desk, stderr: str, end_class: EndClass) -> None:
    desk.reads(json.dumps({"type": "step_start", "sessionID": "session-1"}))
    desk.reporter.stderr(stderr, NOON)
    final = desk.reporter.finish(1, NOON)
    assert [r.verdict.kind for r in (*desk.completions, final) if r.verdict] == [end_class] * 2


class TestSignatures:
    """`spec.limits.signatures` of a Direct provider."""

    @pytest.fixture
    def signed(self, tmp_path: Path) -> Desk:
        return Desk(tmp_path / "journal", DROVEWAY_SIGNATURES='["weekly cap"]')

    def test_stderr_of_a_failed_run_in_the_providers_words_is_a_limit(self, signed: Desk) -> None:
        signed.reads(json.dumps({"type": "step_start", "sessionID": "session-1"}))
        signed.reporter.stderr("warning: the Weekly Cap is gone", NOON)
        signed.reporter.stderr("bye", NOON)
        final = signed.reporter.finish(1, NOON)
        assert (final.success, final.end_class) == (False, EndClass.SUBSCRIPTION_LIMIT)
        (failed,) = signed.completions
        assert failed.verdict == final.verdict
        assert final.verdict
        assert (final.verdict.kind, final.verdict.until) == (EndClass.SUBSCRIPTION_LIMIT, None)

    def test_so_is_the_error_that_it_ended_with(self, signed: Desk) -> None:
        error = {"name": "APIError", "data": {"message": "weekly cap", "statusCode": 400}}
        signed.reads(json.dumps({"type": "error", "sessionID": "session-1", "error": error}))
        assert signed.reporter.finish(1, NOON).end_class is EndClass.SUBSCRIPTION_LIMIT

    def test_r_l1_a_run_that_ended_well_is_not_searched(self, signed: Desk) -> None:
        signed.reads(step(1, reason="stop"))
        signed.reporter.stderr("weekly cap", NOON)
        assert signed.reporter.finish(0, NOON).end_class is EndClass.SUCCEEDED

    def test_r_p10_nor_are_the_agents_own_words(self, signed: Desk) -> None:
        signed.reads(said("I raised the weekly cap"), step(1, reason="stop"))
        assert signed.reporter.finish(3, NOON).end_class is EndClass.AGENT_FAILED

    def test_r_l2_an_outage_stays_one(self, signed: Desk) -> None:
        signed.reads(json.dumps({"type": "step_start", "sessionID": "session-1"}))
        signed.reporter.stderr("HTTP 503 Service Unavailable: weekly cap", NOON)
        assert signed.reporter.finish(1, NOON).end_class is EndClass.PROVIDER_OUTAGE

    def test_only_the_end_of_a_long_stderr_is_searched(self, signed: Desk) -> None:
        signed.reporter.stderr("weekly cap", NOON)
        for _ in range(64):
            signed.reporter.stderr("." * 64, NOON)
        assert signed.reporter.finish(1, NOON).end_class is EndClass.AGENT_FAILED

    def test_a_pattern_that_is_none_is_a_bug_of_the_operator(self) -> None:
        with pytest.raises(Bug, match=r"signatures\[0\] is not a regular expression"):
            Attempt.from_env(ENV | {"DROVEWAY_SIGNATURES": '["(ope"]'})


def test_an_agents_own_failure_is_no_verdict(desk: Desk) -> None:
    desk.reads(step(1, reason="stop"))
    assert desk.reporter.finish(3, NOON).verdict is None


def test_the_session_is_told_once(desk: Desk) -> None:
    desk.reads(said("hello"), said("again"), step(100), said("and again"))
    assert [r.session_id for r in desk.records if r.kind is RecordKind.REPORT] == ["session-1"]


def test_behind_the_gateway_completions_are_not_told(gateway_desk: Desk) -> None:
    """The gateway counts; the sidecar's totals are a check."""
    gateway_desk.reads(step(100), step(20, reason="stop"))
    final = gateway_desk.reporter.finish(0, NOON)
    assert gateway_desk.completions == []
    assert (final.completions, final.tokens, final.cost_usd) == (2, spent(120), 0.02)


def test_a_limit_is_told_at_once_and_once(desk: Desk) -> None:
    desk.reads(step(100), limit(9000), said("waiting"))
    (told,) = [r for r in desk.records if r.verdict]
    assert told.kind is RecordKind.REPORT
    assert told.verdict
    assert told.verdict.kind is EndClass.SUBSCRIPTION_LIMIT
    assert told.verdict.until == NOON + timedelta(seconds=9000)


def windows(five_hour: float, seven_day: float = 0.6) -> str:
    told = {"five_hour": {"utilization": five_hour, "resetsAt": RESET, "status": "allowed"},
            "seven_day": {"utilization": seven_day, "resetsAt": RESET + 86400, "status": "allowed"}}  # fmt: skip
    info = {"status": "allowed", "resetsAt": RESET, "rateLimitType": "five_hour", "unifiedWindows": told}
    return json.dumps({"type": "rate_limit_event", "rate_limit_info": info, "session_id": "session-1"})


def test_how_much_of_a_subscription_is_used_is_told_when_it_changes(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "journal", DROVEWAY_CLI="claude")
    desk.reads(windows(0.2), windows(0.2), windows(0.3))
    told = [[(u.window, u.used_percent) for u in r.utilization] for r in desk.records if r.utilization]
    assert told == [[("5h", 20), ("7d", 60)], [("5h", 30)]]
    (first, _) = (r for r in desk.records if r.utilization)
    assert first.utilization[0].resets_at == datetime.fromtimestamp(RESET, UTC)
    assert record_from_dict(record_to_dict(first)) == first
    desk.start()
    assert len([r for r in desk.records if r.utilization]) == 2, "a restart tells nothing twice"


def test_behind_the_gateway_use_is_the_gateways_to_tell(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "journal", DROVEWAY_CLI="claude", DROVEWAY_ACCESS="Gateway")
    desk.reads(windows(0.2))
    assert not [r for r in desk.records if r.utilization]


def test_the_final_record_tells_everything(desk: Desk) -> None:
    desk.reads(step(100), said("All done."), step(20, reason="stop"))
    final = desk.reporter.finish(0, NOON)
    assert desk.reporter.final == final == desk.records[-1]
    assert (final.final, final.success, final.exit_code, final.end_class) == (True, True, 0, EndClass.SUCCEEDED)
    assert (final.session_id, final.result, final.error) == ("session-1", "All done.", None)
    assert (final.completions, final.tokens, final.cost_usd) == (2, spent(120), 0.02)


def test_a_failure_carries_the_reason_and_the_failed_completion(desk: Desk) -> None:
    desk.reads(step(100), limit())
    final = desk.reporter.finish(1, NOON)
    assert (final.success, final.end_class, final.exit_code) == (False, EndClass.SUBSCRIPTION_LIMIT, 1)
    assert final.verdict
    assert [r.success for r in desk.completions] == [True, False]
    assert desk.completions[-1].verdict == final.verdict


def test_an_unknown_exit_code_stays_unknown(desk: Desk) -> None:
    final = desk.reporter.finish(None, NOON)
    assert (final.exit_code, final.end_class) == (None, EndClass.UNKNOWN)


def test_a_restart_tells_nothing_twice_and_forgets_nothing(desk: Desk) -> None:
    desk.reads(said("hello"), step(100), step(20), limit())
    before = desk.records
    desk.start()
    assert desk.records == before
    desk.reads(step(3, reason="stop"))
    final = desk.reporter.finish(0, NOON)
    assert [r.tokens.total for r in desk.completions] == [100, 20, 3]
    assert len({r.id for r in desk.completions}) == 3
    assert (final.completions, final.tokens) == (3, spent(123))
    assert [r.number for r in desk.records] == list(range(1, len(desk.records) + 1))


def test_equal_steps_count_each(desk: Desk) -> None:
    desk.reads(step(5), step(5))
    desk.start()
    desk.reads(step(5))
    assert len(desk.completions) == 3


def test_a_restart_after_the_beginning_is_gone_still_knows_the_totals(desk: Desk) -> None:
    """The oldest segments went meanwhile; what the journal holds counts all the same."""
    desk.reads(step(100), step(20))
    desk.printed = desk.printed[1:]
    desk.start()
    desk.reads(step(3))
    final = desk.reporter.finish(0, NOON)
    assert (final.completions, final.tokens) == (3, spent(123))


def test_a_restart_knows_that_it_is_over(desk: Desk) -> None:
    desk.reads(step(1, reason="stop"))
    final = desk.reporter.finish(0, NOON)
    desk.start()
    assert desk.reporter.final == final


def test_a_full_journal_takes_totals_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.reads(step(100))
    monkeypatch.setattr(journal, "FULL_BYTES", 0)
    desk.reads(step(20), step(3))
    desk.start()
    final = desk.reporter.finish(0, NOON)
    assert [r.tokens.total for r in desk.completions] == [100]
    assert (final.completions, final.tokens) == (3, spent(123))


def test_why_the_wrapper_refused_is_the_error(desk: Desk) -> None:
    desk.reporter.stderr("droveway: setsid is missing in this image", NOON)
    final = desk.reporter.finish(127, NOON)
    assert (final.error, final.success) == ("droveway: setsid is missing in this image", False)


def test_a_key_is_masked_in_what_looks_like_the_wrapper_s_words(desk: Desk) -> None:
    desk.reporter.stderr("droveway: dwk-11111111-1-0123456789abcdef", NOON)
    assert desk.reporter.finish(127, NOON).error == "droveway: ***"


def test_an_agent_that_talks_like_the_wrapper_is_not_it(desk: Desk) -> None:
    desk.reads(step(1, reason="stop"))
    desk.reporter.stderr("droveway: everything is lost", NOON)
    assert desk.reporter.finish(0, NOON).error is None


def test_a_long_result_is_cut_so_that_it_can_be_seen(desk: Desk) -> None:
    desk.reads(said("x" * 6000), step(1, reason="stop"))
    assert len(desk.reporter.finish(0, NOON).result) == RESULT_CHARACTERS


@pytest.mark.parametrize("letter", ["x", "é", "漢", '"', "\ud800"])
def test_a_termination_message_fits_without_the_agents_words(desk: Desk, letter: str) -> None:
    desk.reads(said("secret words"), step(100), limit())
    final = desk.reporter.finish(1, NOON)
    verdict = Verdict(EndClass.SUBSCRIPTION_LIMIT, NOON, reason=letter * 256)
    message = termination_message(
        Record(**{f: getattr(final, f) for f in Record.__slots__} | {"error": letter * 400, "verdict": verdict})
    )
    assert len(message) <= TERMINATION_BYTES
    assert b"secret words" not in message
    read = record_from_dict(json.loads(message))
    assert (read.final, read.exit_code, read.end_class) == (True, 1, EndClass.SUBSCRIPTION_LIMIT)
    assert (read.number, read.session_id, read.completions) == (final.number, "session-1", 2)
    assert read.verdict
    assert read.verdict.until == NOON
