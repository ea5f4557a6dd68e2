"""Every recording of a real CLI is understood: session, model, tokens, cost, success, error and end class.

The expectations were read off the recordings and the mock's constants (1200 prompt tokens of which 800 cached, for
Anthropic besides 800 read and 100 written; 42 of output, of which 7 reasoning, for Gemini besides), not off the parser.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from droveway.agents import Outcome
from droveway.api.enums import LIMIT_CLASSES, EndClass
from droveway.core.completion import CompletionEvent
from helpers.streams import AT, RECORDINGS, parser_of

NOTHING = (0, 0, 0, 0, 0)
SAID = "Hello from the mock model."

# input, output, reasoning, cache read, cache write
CLAUDE_CALL = (1200, 42, 0, 800, 100)
OPENAI_CALL = (400, 35, 7, 800, 0)
GEMINI_CALL = (400, 42, 7, 800, 0)
PLAIN_CALL = (400, 42, 0, 800, 0)  # pi and qwen report no reasoning


def times(n: int, call: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n * tokens for tokens in call)


@dataclass(frozen=True)
class Expected:
    """What a recording holds; `error` is a part of what was said, `until` a stated reset, `cost` None when none is told."""

    recording: str
    session: str | None
    model: str
    end: EndClass
    tokens: tuple[int, ...] = NOTHING
    cost: float | None = None
    error: str = ""
    until: str | None = None
    result: str = ""
    completions: int = 1


OK, AUTH, REJECTED = EndClass.SUCCEEDED, EndClass.AUTH_FAILED, EndClass.REQUEST_REJECTED
OUTAGE, UNKNOWN = EndClass.PROVIDER_OUTAGE, EndClass.UNKNOWN
LIMIT, RATE = EndClass.SUBSCRIPTION_LIMIT, EndClass.RATE_LIMITED
SONNET, PRO = "claude-sonnet-4-5", "gemini-2.5-pro"
CUT = "without a final event"

# fmt: off
EXPECTED = [
    Expected("claude/auth", "a82c0601-c59f-4602-aa85-97d1d26be478", SONNET, AUTH, cost=0, error="Invalid API key"),
    Expected("claude/context", "d0841652-fec1-44da-a1d5-bf3f5e311eaf", SONNET, REJECTED,
             cost=0, error="Prompt is too long"),
    Expected("claude/disconnect", "6c4b243c-f9c7-4069-93ad-19047cc2eecc", SONNET, UNKNOWN, error=CUT),
    Expected("claude/hang", "3c4ade9d-3ea2-4c02-baa9-33e32cccb866", SONNET, UNKNOWN, error=CUT),
    Expected("claude/model_404", "272ccd91-b854-4911-a599-ac4f3816933b", SONNET, REJECTED,
             cost=0, error="issue with the selected model"),
    Expected("claude/ok", "5ae7ada9-8442-4c15-95e1-963babd25aac", SONNET, OK, CLAUDE_CALL, 0.004845, result=SAID),
    Expected("claude/ok--oauth", "e30f7d30-44dc-4b28-81cc-f8c49f249819", SONNET, OK, CLAUDE_CALL, 0.004845, result=SAID),
    Expected("claude/overloaded", "42b0ec78-2503-4b12-a1cf-c7be1a11d389", SONNET, OUTAGE,
             cost=0, error="529 Overloaded"),
    Expected("claude/rate_limit", "c57c347b-616c-4a8e-800d-b7012953eac9", SONNET, RATE,
             cost=0, error="rate limit of 30,000 input tokens"),
    Expected("claude/rate_limit_fail2", "916c2b6f-0e81-4c09-af77-69d5753a5bb8", SONNET, OK, CLAUDE_CALL, 0.004845, result=SAID),
    Expected("claude/server_error", "e3617387-eaba-40e4-9e5a-156f7c23965e", SONNET, OUTAGE,
             cost=0, error="500 Internal server error"),
    Expected("claude/slow", "59b69ffb-4c62-49fc-8ae0-d71feb58715a", SONNET, OK, CLAUDE_CALL, 0.004845, result=SAID),
    Expected("claude/stream_error", "f0a5b28b-6676-40e0-9e70-1e0203eb2dae", SONNET, UNKNOWN, error=CUT),
    Expected("claude/tool", "3d974294-98f2-437e-bb4e-904dc477c47f", SONNET, OK, times(2, CLAUDE_CALL), 0.00969, result=SAID),
    # With an API key the CLI is told no reset time and no more than "rate limit": only the gateway knows better.
    Expected("claude/usage_limit", "87dcd9b1-6f1f-4523-a159-fc334c9c788d", SONNET, RATE,
             cost=0, error="would exceed your account's rate limit"),
    Expected("claude/usage_limit--oauth", "4986a7ea-ce35-431d-8a1e-2b0d4c6ab773", SONNET, LIMIT, cost=0,
             error="hit your 5-hour limit", until="2026-11-21T13:46:20"),

    Expected("codex/auth", "01a1fdd7-ecc6-7431-b94f-fe42eaad7b74", "", AUTH, error="401 Unauthorized"),
    Expected("codex/context", "01a1fdd8-3e4d-7370-93d6-3cabbc2821c0", "", REJECTED, error="ran out of room"),
    Expected("codex/disconnect", "01a1fdd9-030f-76b3-a0c3-fba86499db65", "", OUTAGE, error="stream disconnected"),
    Expected("codex/hang", "01a1fdeb-1077-75a0-ba00-f270095149ef", "", UNKNOWN, error=CUT),
    Expected("codex/model_404", "01a1fdd8-8815-7840-a925-1fccd3c06e06", "", REJECTED, error="does not exist"),
    Expected("codex/ok", "01a1fdd1-9eb9-7c61-8959-d125863b5e5b", "", OK, OPENAI_CALL, result=SAID),
    Expected("codex/overloaded", "01a1fdd5-3e9c-7e70-af2d-a6b9f01d4df9", "", OUTAGE, error="at capacity"),
    Expected("codex/rate_limit", "01a1fdd4-44d7-7b73-9192-6c4dc4de3dd8", "", RATE, error="429 Too Many Requests"),
    Expected("codex/rate_limit_fail2", "01a1fde2-1f9e-71b2-a196-33d9adf68ea8", "", OK, OPENAI_CALL, result=SAID),
    Expected("codex/server_error", "01a1fdd6-1f8e-75a1-af9f-4c5118ababeb", "", OUTAGE, error="high demand"),
    Expected("codex/slow", "01a1fddc-efe3-7080-a6ea-ef2bd5d983d4", "", OK, OPENAI_CALL, result=SAID),
    Expected("codex/stream_error", "01a1fdd8-b73f-7ab2-8914-1296f9027b13", "", OUTAGE, error="at capacity"),
    Expected("codex/tool", "01a1fde2-4142-7262-8ed2-31a42cca3cc1", "", OK, times(2, OPENAI_CALL), result=SAID),
    Expected("codex/usage_limit", "01a1fdd3-4440-7d02-b4d2-a1d9f8ac7711", "", LIMIT,
             error="hit your usage limit", until="2026-11-21T13:47:00"),

    Expected("copilot/auth", "545d1f2f-d8c1-4121-a666-6d231dc35771", "m1", AUTH, error="Authentication failed"),
    Expected("copilot/context", "bd2762c9-f741-4cef-9544-3f7edcbcbd1c", "m1", REJECTED, error="maximum context length"),
    Expected("copilot/disconnect", "4a938d44-38d0-4a34-b8d4-fd28f55e17b1", "m1", OUTAGE, error="retried 5 times"),
    Expected("copilot/hang", None, "m1", UNKNOWN, error=CUT),
    Expected("copilot/model_404", "f3b8285e-fd27-48cd-b27b-8cd166af8479", "m1", REJECTED,
             error="not found on provider"),
    Expected("copilot/ok", "c4672b36-079e-4076-969f-5bec1d84b099", "m1", OK, result=SAID),
    Expected("copilot/overloaded", "642b8d0f-5f25-4d41-a96c-455a059ae2f4", "m1", OUTAGE, error="503 The engine"),
    Expected("copilot/rate_limit", "3df20da9-2074-4c79-aeb2-057059b53e55", "m1", RATE,
             error="Rate limit reached", until="2026-11-21T11:30:02"),
    Expected("copilot/rate_limit_fail2", "35e71ec9-f6d8-4f67-9afe-c0fdb1dcacbe", "m1", OK, result=SAID),
    Expected("copilot/server_error", "792c465b-15f3-4022-9933-6951c30cf0c6", "m1", OUTAGE,
             error="The server had an error"),
    Expected("copilot/slow", "e40dd1d0-4f6f-4ab8-ac96-688e1afa858c", "m1", OK, result=SAID),
    Expected("copilot/stream_error", "35227625-8e85-4fdc-9997-5b31429bfd32", "m1", OUTAGE,
             error="The server had an error"),
    Expected("copilot/tool", "c91fb109-fee2-4474-b9f4-ed84b490c4a2", "m1", OK, result=SAID),
    Expected("copilot/usage_limit", "a6476929-d1a1-4cd4-82c5-767691d0a904", "m1", LIMIT,
             error="usage limit has been reached",
             until="2026-11-21T13:47:23"),

    Expected("gemini/auth", "fb5dde5a-44c1-492f-abee-9d52b25583b1", PRO, AUTH, error="API key not valid"),
    Expected("gemini/context", "61089ced-fb37-4761-bf0b-c08c868e7839", PRO, REJECTED, error="input token count"),
    Expected("gemini/disconnect", "8f867ae0-06c0-4755-9c44-0eb7fb51a476", PRO, OUTAGE, error="terminated",
             result="Hello from the mock"),
    Expected("gemini/hang", "cd0bc4f7-9c66-4331-a5db-13de8fa85254", PRO, UNKNOWN, error=CUT),
    Expected("gemini/model_404", "809f1365-ff6f-41d6-ba28-f57d10d2f54b", PRO, REJECTED, error="is not found"),
    Expected("gemini/ok", "065278ba-8a7e-4c24-b87e-550cbccdf5ce", PRO, OK, GEMINI_CALL, result=SAID),
    # Killed while it retried: whoever killed it says why, not what stderr held by then.
    Expected("gemini/overloaded", "969b8030-2125-44a8-9b0b-ca4fc01fa2eb", PRO, UNKNOWN, error=CUT),
    Expected("gemini/rate_limit", "cc014c6d-f084-48a3-835c-eb0003156329", PRO, UNKNOWN, error=CUT),
    Expected("gemini/rate_limit_fail2", "dd62705d-d399-49cf-8fc2-9c942789db95", PRO, OK, GEMINI_CALL, result=SAID),
    Expected("gemini/server_error", "f2737f0a-180f-4fa7-83eb-c1bb1090b84e", PRO, UNKNOWN, error=CUT),
    Expected("gemini/slow", "4beb99ca-30bc-434c-836d-b86ebad5bc3f", PRO, OK, GEMINI_CALL, result=SAID),
    Expected("gemini/stream_error", "e39c300d-fdd9-48e3-83c3-5990e997fc4c", PRO, OUTAGE, times(4, GEMINI_CALL),
             error="ended without a finish reason", result="Hello from Hello from Hello from Hello from"),
    Expected("gemini/tool", "0dcd0378-f0a0-47a6-8522-9a7cdc0d765b", PRO, OK, times(2, GEMINI_CALL), result=SAID),
    Expected("gemini/usage_limit", "a6f720f5-5de9-46cc-b1f4-e24a6cb61c9c", PRO, LIMIT,
             error="exhausted your daily quota"),

    Expected("opencode/auth", "ses_e0227fc44ffe447VEZX0fgoJbR", "", AUTH, error="Incorrect API key"),
    Expected("opencode/context", "ses_e0227a313ffecveMm5UG2dfR2P", "", REJECTED, error="maximum context length"),
    Expected("opencode/disconnect", "ses_e0226e3bcffe6as49ueEoUBySK", "", UNKNOWN, error=CUT),
    Expected("opencode/hang", None, "", UNKNOWN, error=CUT, completions=0),
    Expected("opencode/model_404", "ses_e02276035ffeKxnp3k0kzRHFMV", "", REJECTED, error="does not exist"),
    Expected("opencode/ok", "ses_e022e5565ffeL1JoCchDBgEEh7", "", OK, OPENAI_CALL, 0.00207, result=SAID),
    Expected("opencode/overloaded", "ses_e022b5edaffeMP1MWFlbG7slO1", "", OUTAGE, error="currently overloaded"),
    Expected("opencode/rate_limit", "ses_e022cb147ffeeKLRwomJaK3Xms", "", RATE,
             error="Rate limit reached", until="2026-11-21T11:30:02"),
    Expected("opencode/rate_limit_fail2", "ses_e021dd1feffeWCRjaG3wp07ttK", "", OK, OPENAI_CALL, 0.00207, result=SAID),
    Expected("opencode/server_error", "ses_e022aacceffeNbnxEWAD186Ddl", "", OUTAGE, error="The server had an error"),
    Expected("opencode/slow", "ses_e0222d790ffeJEAnL8Tc2Q0I93", "", OK, OPENAI_CALL, 0.00207, result=SAID),
    Expected("opencode/stream_error", "ses_e02273876ffeo9E5cmAxRjRlCe", "", UNKNOWN, error=CUT),
    Expected("opencode/tool", "ses_e021db2f0ffeh9sHtiDw9wgSCP", "", OK, times(2, OPENAI_CALL), 0.00414,
             result=SAID, completions=2),
    Expected("opencode/usage_limit", "ses_e022d9a5effeo9XAznfKhg587F", "", LIMIT, error="usage limit has been reached",
             until="2026-11-21T13:47:39"),

    Expected("pi/auth", "01a1fdd8-1183-70e9-8ff8-379d1d75ea6c", "m1", AUTH, cost=0, error="401 Incorrect API key"),
    Expected("pi/context", "01a1fdd8-877b-76aa-acf6-10992d8b5359", "m1", REJECTED,
             cost=0, error="maximum context length"),
    Expected("pi/disconnect", "01a1fdd9-364c-721e-ba8c-c3217752cfc1", "m1", OUTAGE, cost=0, error="terminated"),
    Expected("pi/hang", "01a1fdeb-19e5-7415-955a-eb4e260ac1ea", "", UNKNOWN, error=CUT),
    Expected("pi/model_404", "01a1fdd8-a517-73db-bb24-29b97209e341", "m1", REJECTED, cost=0, error="does not exist"),
    Expected("pi/ok", "01a1fdd1-cb69-7262-873e-b630a2dc15e7", "m1", OK, PLAIN_CALL, 0.00207, result=SAID),
    Expected("pi/overloaded", "01a1fdd4-fb74-7217-9e88-15345334a0ff", "m1", OUTAGE, cost=0, error="503 The engine"),
    Expected("pi/rate_limit", "01a1fdd3-cca0-73c8-8fb0-2afefaf28f77", "m1", RATE,
             cost=0, error="Rate limit reached", until="2026-11-21T11:30:02"),
    Expected("pi/rate_limit_fail2", "01a1fde2-3661-76b3-ab72-5ea420f2c8d5", "m1", OK, PLAIN_CALL, 0.00207, result=SAID),
    Expected("pi/server_error", "01a1fdd5-d67b-72ee-b90b-0fb89733b1c4", "m1", OUTAGE, cost=0, error="500 The server"),
    Expected("pi/slow", "01a1fddd-57e9-7586-ac7a-49e5a4df5cbe", "m1", OK, PLAIN_CALL, 0.00207, result=SAID),
    Expected("pi/stream_error", "01a1fdd8-eee1-7611-b7cc-87f35eb64b19", "m1", OUTAGE,
             cost=0, error="The server had an error"),
    Expected("pi/tool", "01a1fdd7-e62c-72bc-b83f-3e6e3dfa79bb", "m1", OK, times(2, PLAIN_CALL), 0.00414,
             result=SAID, completions=2),
    Expected("pi/usage_limit", "01a1fdd2-f91b-76d2-9ba9-305dc2f8eb30", "m1", LIMIT,
             cost=0, error="usage limit has been reached"),

    Expected("qwen/auth", "2271caaf-50ce-47bb-bc3e-7a2e9a8fa248", "m1", AUTH, error="401 Incorrect API key"),
    Expected("qwen/auth--v024", "9fe40003-a7b8-4641-9ae5-9055b2d15081", "m1", AUTH, error="401 Incorrect API key"),
    Expected("qwen/context", "cac761a3-574e-430b-9a99-65b08e4f3191", "m1", REJECTED, error="maximum context length"),
    # The error stands in the middle of the agent's words, which are never searched (R-P10, R-C31).
    Expected("qwen/disconnect", "02472409-47cd-48ee-af3f-381e890beb78", "m1", OK,
             result="Hello from the [API Error: terminated (cause: other side closed)]"),
    Expected("qwen/hang", "8c8b554c-6ddb-43d2-9db1-8e62c2b8cc98", "m1", UNKNOWN, error=CUT),
    Expected("qwen/model_404", "dc5838b0-6431-49a4-86ec-98c7562d5716", "m1", REJECTED, error="404 The model"),
    Expected("qwen/ok", "1c5f5b63-ce33-4561-a4df-61f6089f1311", "m1", OK, times(2, PLAIN_CALL), result=SAID),
    Expected("qwen/ok--v024", "66baf98c-3f43-4e0c-98d6-c97a844016c0", "m1", OK, times(2, PLAIN_CALL), result=SAID),
    Expected("qwen/overloaded", "9de936ca-a415-4cea-bdb0-35d039cd83b6", "m1", UNKNOWN, error=CUT),
    Expected("qwen/rate_limit", "96453be3-6b77-4891-a225-b1a187689a1a", "m1", UNKNOWN, error=CUT),
    Expected("qwen/rate_limit_fail2", "6abcb04e-cf65-4026-97a3-73e0cd2ab6a8", "m1", OK, times(2, PLAIN_CALL), result=SAID),
    Expected("qwen/server_error", "f4963066-f65f-4b58-aae8-28c3c28f6333", "m1", OUTAGE, error="500 The server"),
    Expected("qwen/slow", "ce3d9904-5cea-4d60-8461-f132d4973983", "m1", OK, times(2, PLAIN_CALL), result=SAID),
    Expected("qwen/stream_error", "e57517da-f371-435a-abdd-28721d734016", "m1", OK,
             result="Hello from [API Error: The server had an error]"),
    Expected("qwen/tool", "c041fd46-abce-463f-a5ec-aa15dabf54bb", "m1", OK, times(2, PLAIN_CALL), result=SAID),
    Expected("qwen/usage_limit", "35d27ba5-2baf-4594-8641-1c0899fa423f", "m1", UNKNOWN, error=CUT),
]
# fmt: on


def replay(recording: str, run: str = "run-1", attempt: int = 1) -> tuple[Outcome, list[CompletionEvent]]:
    """The outcome and all completions of a recording."""
    folder = RECORDINGS / recording
    parser = parser_of(recording.partition("/")[0], run, attempt)
    events = [e for line in (folder / "stdout.jsonl").read_text().split("\n") for e in parser.feed(line, AT)]
    for line in (folder / "stderr.txt").read_text().split("\n"):
        parser.feed_stderr(line, AT)
    outcome = parser.finish(int((folder / "exit").read_text()), AT)
    return outcome, [*events, *outcome.events]


def test_no_recording_is_left_out() -> None:
    recorded = {f"{d.parent.name}/{d.name}" for d in RECORDINGS.glob("*/*") if d.is_dir()}
    assert recorded == {e.recording for e in EXPECTED}


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda e: e.recording)
def test_the_outcome_is_that_of_the_recording(expected: Expected) -> None:
    outcome, _ = replay(expected.recording)

    assert outcome.end_class is expected.end
    assert outcome.success is (expected.end is OK)
    assert outcome.session_id == expected.session
    assert outcome.model == expected.model
    assert expected.error in outcome.message
    assert bool(outcome.message) is not outcome.success
    assert outcome.result == expected.result


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda e: e.recording)
def test_the_limit_is_that_of_the_recording(expected: Expected) -> None:
    limit = replay(expected.recording)[0].limit
    until = datetime.fromisoformat(expected.until).replace(tzinfo=UTC) if expected.until else None

    assert (limit and (limit.kind, limit.until)) == ((expected.end, until) if expected.end in LIMIT_CLASSES else None)


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda e: e.recording)
def test_the_completions_are_those_of_the_recording(expected: Expected) -> None:
    """R-P8, R-C32."""
    _, events = replay(expected.recording)
    counted = [(t.input, t.output, t.reasoning, t.cache_read, t.cache_write) for t in (e.tokens for e in events)]
    known = [e.cost_usd for e in events if e.cost_usd is not None]

    assert len(events) == expected.completions
    assert tuple(map(sum, zip(NOTHING, *counted, strict=True))) == expected.tokens
    assert all(sum(buckets) == e.tokens.total for buckets, e in zip(counted, events, strict=True))
    assert (sum(known) if known else None) == (None if expected.cost is None else pytest.approx(expected.cost))
    assert {e.model for e in events} <= {expected.model}
    assert {e.session_id for e in events} <= {expected.session or "run-1"}


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda e: e.recording)
def test_a_failed_run_leaves_a_failed_completion_and_a_good_one_none(expected: Expected) -> None:
    """R-C34."""
    _, events = replay(expected.recording)
    failed = [e for e in events if not e.success]

    assert len(failed) == (0 if expected.end is OK else expected.completions)
    assert all(e.error and expected.error in e.error for e in failed)


@pytest.mark.parametrize("recording", [e.recording for e in EXPECTED])
def test_ids_stay_when_lines_are_read_again_and_differ_between_attempts(recording: str) -> None:
    """R-C35."""
    first = [e.id for e in replay(recording)[1]]

    assert None not in first
    assert len(set(first)) == len(first)
    assert [e.id for e in replay(recording)[1]] == first
    assert not {e.id for e in replay(recording, attempt=2)[1]} & set(first)
    assert not {e.id for e in replay(recording, run="run-2")[1]} & set(first)


def test_a_recording_never_shows_its_key() -> None:
    """R-C37."""
    outcomes = [replay(e.recording) for e in EXPECTED]
    said = [o.message for o, _ in outcomes] + [e.error or "" for _, events in outcomes for e in events]

    assert any("***" in text for text in said)
    assert not any("sk-mock" in text for text in said)
