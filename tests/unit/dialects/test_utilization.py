"""How full a subscription is, from the headers of any answer."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.core.utilization import Reading
from droveway.dialects import utilization
from droveway.mockllm.errors import claude_windows

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
UNIFIED = "anthropic-ratelimit-unified-"


def claude(**windows: str) -> dict[str, str]:
    return {f"{UNIFIED}status": "allowed"} | {f"{UNIFIED}{k.replace('__', '-')}": v for k, v in windows.items()}


def codex(slot: str = "primary", **words: str) -> dict[str, str]:
    return {f"x-codex-{slot}-{k.replace('_', '-')}": v for k, v in words.items()}


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        pytest.param({}, [], id="an API key's answer"),
        pytest.param({"anthropic-ratelimit-requests-remaining": "0"}, [], id="per-minute limits are no windows"),
        pytest.param(
            claude_windows(EPOCH, 9000),
            [("5h", 20, at(9000)), ("7d", 60, at(5 * 86400))],
            id="both windows of a Claude plan, after a success",
        ),
        pytest.param(
            claude_windows(EPOCH, 9000, "rejected"),
            [("5h", 100, at(9000)), ("7d", 60, at(5 * 86400))],
            id="and when one is spent",
        ),
        pytest.param(
            claude(**{"7d_opus__utilization": "0.91", "7d_opus__reset": str(EPOCH + 60)}),
            [("7d_opus", 91, at(60))],
            id="a window of one family",
        ),
        pytest.param(claude(**{"5h__utilization": "0.5"}), [("5h", 50, None)], id="no reset"),
        pytest.param(claude(**{"5h__utilization": "much"}), [], id="no number"),
        pytest.param(claude(**{"5h__utilization": "nan", "7d__utilization": "-1"}), [], id="no share"),
        pytest.param(
            codex(used_percent="37.5", window_minutes="300", reset_at=str(EPOCH + 600))
            | codex("secondary", used_percent="8", window_minutes="10080", reset_after_seconds="86400"),
            [("5h", 38, at(600)), ("7d", 8, at(86400))],
            id="both windows of a ChatGPT plan",
        ),
        pytest.param(
            codex("secondary", used_percent="8", window_minutes="90"), [("90m", 8, None)], id="one slot, an odd length"
        ),
        pytest.param(codex(used_percent="8"), [], id="a window of unknown length"),
        pytest.param(codex(used_percent="8", window_minutes="inf"), [], id="an endless window"),
        pytest.param(codex(used_percent="8", window_minutes="0"), [], id="no window"),
    ],
)
def test_windows(headers: dict[str, str], found: list[tuple[str, int, datetime | None]]) -> None:
    assert list(utilization(headers, NOW)) == [Reading(*one, NOW) for one in found]


@given(
    st.dictionaries(
        st.sampled_from(
            [
                *claude_windows(EPOCH, 9000),
                *codex(used_percent="", window_minutes="", reset_at="", reset_after_seconds=""),
            ]
        ),
        st.text(max_size=20) | st.floats().map(str) | st.integers().map(str),
    )
)
def test_whatever_headers_say_it_never_raises(headers: dict[str, str]) -> None:
    for found in utilization(headers, NOW):
        assert 0 <= found.used_percent <= 1000
