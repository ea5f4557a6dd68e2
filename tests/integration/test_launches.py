"""The real CLIs, started exactly as `launch` says, against the mock: they call it, and their output is understood."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from droveway.agents import Outcome, launch, speaks, stream_parser
from droveway.api.enums import Access, Cli, Dialect, EndClass
from droveway.core.completion import CompletionEvent
from droveway.core.launch import LaunchRequest
from helpers.agent_cli import BIN, run_cli

RUN_KEY = "dwk-5f0c-1-0123456789abcdef"
PROMPT = "--say hello, and mind $(MODEL) 'quotes'"  # looks like an option, holds what others expand
CALL = {
    Dialect.ANTHROPIC: (1200, 42, 0, 800, 100),
    Dialect.OPENAI_CHAT: (400, 35, 7, 800, 0),
    Dialect.OPENAI_RESPONSES: (400, 35, 7, 800, 0),
    Dialect.GEMINI: (400, 42, 7, 800, 0),
}
"""What one call of the mock uses: input, output, reasoning, cache read, cache write."""

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@dataclass(frozen=True)
class Ran:
    """What came of a launch."""

    outcome: Outcome
    events: list[CompletionEvent]
    calls: list[dict[str, Any]]
    workspace: Path

    def tokens(self) -> tuple[int, ...]:
        counted = [
            (t.input, t.output, t.reasoning, t.cache_read, t.cache_write) for t in (e.tokens for e in self.events)
        ]
        return tuple(map(sum, zip(*counted, strict=True)))


@pytest.fixture(scope="module")
def mock_url() -> Iterator[str]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([sys.executable, "-m", "droveway", "mockllm", "--port", str(port)])
    try:
        for _ in range(100):
            try:
                with urllib.request.urlopen(f"{url}/v1/models", timeout=1):
                    break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def start(mock_url: str, tmp_path: Path) -> Any:
    def run(cli: Cli, dialect: Dialect, scenario: str, model: str, **request: Any) -> Ran:
        if not (BIN / cli).exists():
            pytest.skip(f"{cli} is not installed: {BIN / cli} is missing")
        name = uuid4().hex
        url = f"{mock_url}/s/{scenario},run={name}"
        access = request.pop("access", Access.GATEWAY)
        how = launch(LaunchRequest(cli, dialect, access, model, url, **{"prompt": PROMPT} | request))
        ended, stdout, stderr = run_cli(how, tmp_path, RUN_KEY)

        now = datetime.now(UTC)
        parser = stream_parser(cli, "run-1", 1, now)
        events = [event for line in stdout.split("\n") for event in parser.feed(line, now)]
        for line in stderr.split("\n"):
            parser.feed_stderr(line, now)
        outcome = parser.finish(ended, now)
        with urllib.request.urlopen(f"{mock_url}/_mock/calls?run={name}") as answer:
            calls = json.load(answer)
        return Ran(
            outcome, [*events, *outcome.events], calls["calls"] if isinstance(calls, dict) else calls, tmp_path / "work"
        )

    return run


LAUNCHES = [
    pytest.param(Cli.CLAUDE, Dialect.ANTHROPIC, "claude-sonnet-4-5", id="claude"),
    pytest.param(Cli.CODEX, Dialect.OPENAI_RESPONSES, "gpt-5.1-codex", id="codex"),
    pytest.param(Cli.OPENCODE, Dialect.OPENAI_CHAT, "vendor/m1", id="opencode-chat"),
    pytest.param(Cli.OPENCODE, Dialect.ANTHROPIC, "claude-sonnet-4-5", id="opencode-anthropic"),
    pytest.param(Cli.OPENCODE, Dialect.OPENAI_RESPONSES, "gpt-5.1", id="opencode-responses"),
    pytest.param(Cli.GEMINI, Dialect.GEMINI, "gemini-2.5-pro", id="gemini"),
    pytest.param(Cli.QWEN, Dialect.OPENAI_CHAT, "vendor/m1", id="qwen-chat"),
    pytest.param(Cli.QWEN, Dialect.OPENAI_RESPONSES, "gpt-5.1", id="qwen-responses"),
    pytest.param(Cli.QWEN, Dialect.GEMINI, "gemini-2.5-pro", id="qwen-gemini"),
    pytest.param(Cli.PI, Dialect.OPENAI_CHAT, "vendor/m1:high", id="pi-chat"),
    pytest.param(Cli.PI, Dialect.OPENAI_RESPONSES, "gpt-5.1", id="pi-responses"),
    pytest.param(Cli.PI, Dialect.ANTHROPIC, "claude-sonnet-4-5", id="pi-anthropic"),
    pytest.param(Cli.PI, Dialect.GEMINI, "gemini-2.5-pro", id="pi-gemini"),
    pytest.param(Cli.COPILOT, Dialect.OPENAI_CHAT, "vendor/m1", id="copilot-chat"),
    pytest.param(Cli.COPILOT, Dialect.OPENAI_RESPONSES, "gpt-5.1", id="copilot-responses"),
    pytest.param(Cli.COPILOT, Dialect.ANTHROPIC, "claude-sonnet-4-5", id="copilot-anthropic"),
]
ONE_EACH = [
    pytest.param(Cli.CLAUDE, Dialect.ANTHROPIC, "claude-sonnet-4-5", id="claude"),
    pytest.param(Cli.CODEX, Dialect.OPENAI_RESPONSES, "gpt-5.1-codex", id="codex"),
    pytest.param(Cli.OPENCODE, Dialect.OPENAI_CHAT, "vendor/m1", id="opencode"),
    pytest.param(Cli.GEMINI, Dialect.GEMINI, "gemini-2.5-pro", id="gemini"),
    pytest.param(Cli.QWEN, Dialect.OPENAI_CHAT, "vendor/m1", id="qwen"),
    pytest.param(Cli.PI, Dialect.OPENAI_CHAT, "vendor/m1", id="pi"),
    pytest.param(Cli.COPILOT, Dialect.OPENAI_CHAT, "vendor/m1", id="copilot"),
]


def told(cli: Cli, dialect: Dialect, calls: int) -> tuple[int, ...]:
    """What a CLI says of so many calls. Copilot names no tokens, pi and qwen no thinking (R-C32), but it is in their output."""
    read_in, out, thought, *cached = (calls * tokens for tokens in CALL[dialect])
    if cli is Cli.COPILOT:
        return (0, 0, 0, 0, 0)
    if cli is Cli.QWEN and dialect is Dialect.GEMINI:
        return (read_in, out, 0, *cached)  # there it is not
    return (read_in, out + thought, 0, *cached) if cli in {Cli.QWEN, Cli.PI} else (read_in, out, thought, *cached)


def test_every_cli_is_launched_in_every_dialect_that_it_speaks() -> None:
    assert {(p.values[0], p.values[1]) for p in LAUNCHES} == {(c, d) for c in Cli if c != Cli.CUSTOM for d in speaks(c)}
    assert [p.values[0] for p in ONE_EACH] == [c for c in Cli if c != Cli.CUSTOM]


@pytest.mark.parametrize(("cli", "dialect", "model"), LAUNCHES)
def test_it_asks_the_gateway_once_with_the_run_key_and_answers(
    start: Any, cli: Cli, dialect: Dialect, model: str
) -> None:
    ran = start(cli, dialect, "ok", model)

    assert ran.outcome.end_class is EndClass.SUCCEEDED
    assert ran.outcome.result == "Hello from the mock model."
    assert ran.tokens() == told(cli, dialect, 1)
    assert len(ran.calls) == 1
    call = json.dumps(ran.calls[0])
    assert RUN_KEY in call
    assert PROMPT in call
    assert model in call


@pytest.mark.parametrize(("cli", "dialect", "model"), ONE_EACH)
def test_a_prompt_in_a_file_arrives(start: Any, tmp_path: Path, cli: Cli, dialect: Dialect, model: str) -> None:
    prompt = tmp_path / "prompt"
    prompt.write_text("Say hello from a file.\n" * 8000)  # longer than one argument may be

    ran = start(cli, dialect, "ok", model, prompt=None, prompt_file=str(prompt))

    assert ran.outcome.success
    assert "Say hello from a file." in json.dumps(ran.calls[0])


@pytest.mark.parametrize(("cli", "dialect", "model"), LAUNCHES)
def test_it_may_use_its_tools(start: Any, cli: Cli, dialect: Dialect, model: str) -> None:
    ran = start(cli, dialect, "tool", model)

    assert ran.outcome.success
    assert (ran.workspace / "mock.txt").read_text() == "written by a mock tool call\n"
    assert ran.tokens() == told(cli, dialect, 2)


@pytest.mark.parametrize(
    ("scenario", "end"),
    [
        ("auth", EndClass.AUTH_FAILED),
        ("context", EndClass.REQUEST_REJECTED),
        ("model_404", EndClass.REQUEST_REJECTED),
    ],
)
@pytest.mark.parametrize(("cli", "dialect", "model"), ONE_EACH)
def test_it_fails_as_it_was_recorded(
    start: Any, cli: Cli, dialect: Dialect, model: str, scenario: str, end: EndClass
) -> None:
    ran = start(cli, dialect, scenario, model)

    assert ran.outcome.end_class is end
    assert ran.outcome.limit is None
    assert ran.outcome.message
    assert [e.success for e in ran.events] == [False]


@pytest.mark.parametrize(
    ("cli", "dialect", "model", "kind", "calls"),
    [
        # With an API key claude is told no more than "rate limit".
        pytest.param(Cli.CLAUDE, Dialect.ANTHROPIC, "claude-sonnet-4-5", EndClass.RATE_LIMITED, 1, id="claude"),
        pytest.param(Cli.CODEX, Dialect.OPENAI_RESPONSES, "gpt-5.1-codex", EndClass.SUBSCRIPTION_LIMIT, 1, id="codex"),
        pytest.param(Cli.GEMINI, Dialect.GEMINI, "gemini-2.5-pro", EndClass.SUBSCRIPTION_LIMIT, 1, id="gemini"),
        pytest.param(Cli.PI, Dialect.OPENAI_CHAT, "vendor/m1", EndClass.SUBSCRIPTION_LIMIT, 3, id="pi"),
        # The others try on for a minute and more; the gateway tells them in a form that they do not retry.
    ],
)
def test_a_spent_subscription_is_seen(
    start: Any, cli: Cli, dialect: Dialect, model: str, kind: EndClass, calls: int
) -> None:
    ran = start(cli, dialect, "usage_limit", model)

    assert ran.outcome.end_class is kind
    assert ran.outcome.limit is not None
    assert [e.success for e in ran.events] == [False]
    assert 1 <= len(ran.calls) <= calls


def test_claude_with_its_own_login_names_the_reset(start: Any) -> None:
    began = datetime.now(UTC)

    ran = start(Cli.CLAUDE, Dialect.ANTHROPIC, "usage_limit", "claude-sonnet-4-5", access=Access.DIRECT)

    assert ran.outcome.end_class is EndClass.SUBSCRIPTION_LIMIT
    assert "Bearer sk-ant-oat01-mock" in json.dumps(ran.calls)
    assert 8900 < (ran.outcome.limit.until - began).total_seconds() < 9100


@pytest.mark.parametrize(
    ("cli", "dialect", "model", "most"),
    [
        pytest.param(Cli.CLAUDE, Dialect.ANTHROPIC, "claude-sonnet-4-5", 4, id="claude"),
        pytest.param(Cli.CODEX, Dialect.OPENAI_RESPONSES, "gpt-5.1-codex", 9, id="codex"),
        pytest.param(Cli.GEMINI, Dialect.GEMINI, "gemini-2.5-pro", 3, id="gemini"),
        pytest.param(Cli.QWEN, Dialect.OPENAI_CHAT, "vendor/m1", 7, id="qwen"),
        pytest.param(Cli.PI, Dialect.OPENAI_CHAT, "vendor/m1", 3, id="pi"),
        pytest.param(Cli.COPILOT, Dialect.OPENAI_CHAT, "vendor/m1", 6, id="copilot"),
    ],
)
def test_an_outage_is_retried_a_few_times_only(start: Any, cli: Cli, dialect: Dialect, model: str, most: int) -> None:
    ran = start(cli, dialect, "server_error", model)

    assert ran.outcome.end_class is EndClass.PROVIDER_OUTAGE
    assert 1 < len(ran.calls) <= most
