"""The real CLIs, each on a provider of every dialect that it does not speak: they use their tools and finish."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from droveway.agents import dialect_towards, launch, speaks, stream_parser
from droveway.api.enums import Access, Cli, Dialect
from droveway.core.launch import LaunchRequest
from helpers.agent_cli import BIN, run_cli
from helpers.gateway import mock_provider, provider, route, serving

MODELS = {
    Dialect.ANTHROPIC: "claude-sonnet-4-5",
    Dialect.OPENAI_CHAT: "vendor/m1",
    Dialect.OPENAI_RESPONSES: "gpt-5.1",
    Dialect.GEMINI: "gemini-2.5-pro",
}
CLIS = (Cli.CLAUDE, Cli.CODEX, Cli.GEMINI, Cli.OPENCODE, Cli.QWEN, Cli.COPILOT)
OTHERS = [(cli, dialect) for cli in CLIS for dialect in Dialect if dialect not in speaks(cli)]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.mark.parametrize(("cli", "spoken"), OTHERS)
async def test_it_finishes_a_task_with_its_tools(tmp_path: Path, cli: Cli, spoken: Dialect) -> None:
    if not (BIN / cli).exists():
        pytest.skip(f"{cli} is not installed: {BIN / cli} is missing")
    chosen = route("a")
    chosen["spec"]["candidates"][0]["model"] = MODELS[spoken]
    gateway_folder, cli_folder = tmp_path / "gateway", tmp_path / "cli"
    gateway_folder.mkdir()
    cli_folder.mkdir()
    async with (
        mock_provider() as mock,
        serving(gateway_folder, provider("a", f"{mock}/s/tool", spoken.value), chosen) as gateway,
    ):
        own = dialect_towards(cli, spoken)
        model, prompt = MODELS[spoken], "write a file"
        request = LaunchRequest(cli, own, Access.GATEWAY, model, gateway.url, prompt, portable=True)
        ended, stdout, stderr = await asyncio.to_thread(run_cli, launch(request), cli_folder, gateway.key)

        now = datetime.now(UTC)
        parser = stream_parser(cli, "run-1", 1, now)
        events = [event for line in stdout.split("\n") for event in parser.feed(line, now)]
        for line in stderr.split("\n"):
            parser.feed_stderr(line, now)
        outcome = parser.finish(ended, now)
        assert outcome.success, (outcome, stdout[-2000:], stderr[-2000:])
        assert (cli_folder / "work" / "mock.txt").read_text() == "written by a mock tool call\n"
        calls = [record.tokens for record in await gateway.operator.heard(2) if record.tokens]
        counted = [event.tokens for event in (*events, *outcome.events) if event.tokens.total]
        if counted:  # copilot counts nothing
            assert sum(t.cache_read for t in counted) == sum(t.cache_read for t in calls)
            assert sum(t.output + t.reasoning for t in counted) == sum(t.output + t.reasoning for t in calls)
