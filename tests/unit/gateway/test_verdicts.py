"""What a refusal means by the rules of its provider."""

from datetime import UTC, datetime, timedelta

import pytest

from droveway.api.enums import Access, Dialect
from droveway.cluster.objects import Key
from droveway.core.signatures import compiled
from droveway.dialects import SPECS
from droveway.gateway.config import Provider
from droveway.gateway.verdicts import judge

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PROVIDER = Provider(Key("ns", "a"), Dialect.OPENAI_CHAT, Access.GATEWAY, "http://x", "ns/a",
                    default_limit=timedelta(minutes=2), signatures=compiled(["weekly cap"]))  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "kind", "seconds"),
    [
        pytest.param(400, "your weekly cap is gone", "SubscriptionLimit", 120, id="a refusal in its own words"),
        pytest.param(400, "no such field", "RequestRejected", None, id="a refusal in other words"),
        pytest.param(503, "<html>your weekly cap is gone</html>", "ProviderOutage", None, id="a status beats it"),
        pytest.param(401, "your weekly cap is gone", "AuthFailed", None, id="a refused key is one"),
        pytest.param(429, '{"error": {"type": "overloaded_error", "message": "weekly cap"}}', "ProviderOutage", None,
                     id="an overload is one"),
        pytest.param(429, "your weekly cap is gone", "RateLimited", None, id="a limit that we know keeps its kind"),
    ],
)  # fmt: skip
def test_signatures_explain_what_a_status_does_not(status: int, body: str, kind: str, seconds: int | None) -> None:
    said = body.encode()
    verdict = judge(PROVIDER, SPECS[PROVIDER.dialect].classify(status, {}, said, NOW), said, NOW)
    assert (verdict.kind, verdict.until) == (kind, seconds and NOW + timedelta(seconds=seconds))
