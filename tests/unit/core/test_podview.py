"""What is remembered of a pod."""

from typing import Any

from droveway.core.podview import pod_view

POD: dict[str, Any] = {
    "metadata": {"name": "run-1", "uid": "u", "creationTimestamp": "2026-11-21T12:00:00Z"},
    "status": {"phase": "Failed"},
}


def ended(message: str) -> dict[str, Any]:
    over = {"exitCode": 3, "message": message}
    return POD | {
        "status": {"phase": "Failed", "containerStatuses": [{"name": "agent", "state": {"terminated": over}}]}
    }


def test_the_agent_s_own_last_words_are_one_line_without_keys() -> None:
    view = pod_view(ended("I used\n  dwk-11111111-1-0123456789abcdef and gave up\n"))

    assert view.message == "I used *** and gave up"
    assert len(pod_view(ended("x" * 4096)).message) == 256
