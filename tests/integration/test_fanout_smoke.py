"""The smoke test itself: it passes on a service that lives, and on nothing else."""

import asyncio
import sys
from pathlib import Path

import pytest

from helpers.fanout import team

pytestmark = pytest.mark.integration
SCRIPT = Path(__file__).parents[2] / "scripts/fanout_smoke_test.py"


async def smoke(url: str, key: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), "--url", url, "--key", key, stdout=-1, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_it_passes_on_a_live_service_and_on_no_other(tmp_path: Path) -> None:
    async with team(tmp_path, a="pong") as t:
        code, said = await smoke(t.running.url, t.running.key)
        assert code == 0, said
        assert said.count("ok ") == 4
        t["a"].status = 500
        code, said = await smoke(t.running.url, t.running.key)
        assert (code, "FAIL" in said) == (1, True), said
    code, said = await smoke(t.running.url, t.running.key)
    assert (code, said.count("\n"), "Connect" in said) == (1, 1, True), said
