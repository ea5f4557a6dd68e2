"""How an attempt ended: the evidence, by its rank."""

from typing import Any

import pytest

from droveway.api.enums import EndClass
from droveway.core.facts import AttemptFacts
from droveway.core.outcome import Ending, ending_of, unrunnable, vanished
from helpers.build import after, ended, final, limit, pod

SPENT = limit(after(3600))
KILLED = "the agent was killed for its memory; raise resources.limits.memory of its Agent"
NEVER = "the agent's container never started"


@pytest.mark.parametrize(
    ("over", "facts", "ending"),
    [
        pytest.param(
            ended(137, oom=True, reason="Evicted"),
            AttemptFacts(exhausted=SPENT),
            Ending(EndClass.OUT_OF_MEMORY, KILLED, 137),
            id="the kernel's word comes first",
        ),
        pytest.param(
            ended(143, reason="Evicted", message="low on memory", final=final(EndClass.AGENT_FAILED)),
            AttemptFacts(exhausted=SPENT),
            Ending(EndClass.EVICTED, "Evicted: low on memory", 143),
            id="then the kubelet's",
        ),
        pytest.param(
            ended(None, reason="Preempting"),
            AttemptFacts(),
            Ending(EndClass.EVICTED, "Preempting", None),
            id="which may have nothing to add",
        ),
        pytest.param(
            ended(137, reason="DeadlineExceeded", final=final(EndClass.AGENT_FAILED)),
            AttemptFacts(),
            Ending(EndClass.TIMEOUT, "the attempt ran longer than spec.timeoutSeconds", 137),
            id="its deadline",
        ),
        pytest.param(
            ended(0, final=final(EndClass.SUCCEEDED)),
            AttemptFacts(exhausted=SPENT),
            Ending(EndClass.SUCCEEDED, "", 0),
            id="a success stands, even if a request was refused on the way",
        ),
        pytest.param(
            ended(1, final=final(EndClass.AGENT_FAILED, error="API error")),
            AttemptFacts(exhausted=SPENT),
            Ending(EndClass.SUBSCRIPTION_LIMIT, SPENT.reason, 1),
            id="the gateway knows better than the CLI",
        ),
        pytest.param(
            ended(0, final=final(EndClass.AGENT_FAILED, error="I gave up")),
            AttemptFacts(exhausted=SPENT),
            Ending(EndClass.AGENT_FAILED, "I gave up", 0),
            id="but not of an agent that went on and ended well",
        ),
        pytest.param(
            ended(1, final=final(EndClass.PROVIDER_OUTAGE, error="529")),
            AttemptFacts(message="older words"),
            Ending(EndClass.PROVIDER_OUTAGE, "529", 1),
            id="the last words of the CLI",
        ),
        pytest.param(
            ended(1, final=final(EndClass.SUBSCRIPTION_LIMIT)),
            AttemptFacts(message="You've hit your limit"),
            Ending(EndClass.SUBSCRIPTION_LIMIT, "You've hit your limit", 1),
            id="completed by what it said before",
        ),
        pytest.param(
            ended(1, final=final(EndClass.AGENT_FAILED), message="kubelet's"),
            AttemptFacts(),
            Ending(EndClass.AGENT_FAILED, "kubelet's", 1),
            id="or by the kubelet",
        ),
        pytest.param(
            ended(None, final=final(EndClass.AGENT_FAILED, exit_code=3)),
            AttemptFacts(exit_code=4),
            Ending(EndClass.AGENT_FAILED, "", 3),
            id="its own exit code, where the kubelet knows none",
        ),
        pytest.param(
            ended(None),
            AttemptFacts(exit_code=4, end_class=EndClass.AGENT_FAILED, message="as told"),
            Ending(EndClass.AGENT_FAILED, "as told", 4),
            id="events alone, when the sidecar was killed",
        ),
        pytest.param(ended(0), AttemptFacts(), Ending(EndClass.SUCCEEDED, "", 0), id="nothing but exit code 0"),
        pytest.param(
            ended(128),
            AttemptFacts(),
            Ending(EndClass.AGENT_FAILED, "the agent ended with exit code 128", 128),
            id="nothing but an exit code",
        ),
        pytest.param(
            ended(2, message="command not found"),
            AttemptFacts(),
            Ending(EndClass.AGENT_FAILED, "command not found", 2),
            id="an exit code and a message",
        ),
        pytest.param(
            ended(129),
            AttemptFacts(),
            Ending(EndClass.UNKNOWN, "the agent ended with exit code 129 and no account of why", 129),
            id="a signal is nobody's account",
        ),
        pytest.param(
            ended(143, message="node shutdown"),
            AttemptFacts(),
            Ending(EndClass.UNKNOWN, "node shutdown", 143),
            id="a signal and a message",
        ),
        pytest.param(
            ended(1, gone_by=after(30)),
            AttemptFacts(),
            Ending(EndClass.UNKNOWN, "the agent ended with exit code 1 and no account of why", 1),
            id="an agent may end itself when its pod is deleted",
        ),
        pytest.param(ended(None), AttemptFacts(), Ending(EndClass.UNKNOWN, NEVER, None), id="it never started"),
        pytest.param(
            ended(None, message="no node has GPUs"),
            AttemptFacts(),
            Ending(EndClass.UNKNOWN, "no node has GPUs", None),
            id="it never started, and why",
        ),
    ],
)
def test_the_evidence_by_its_rank(over: dict[str, Any], facts: AttemptFacts, ending: Ending) -> None:
    assert ending_of(pod(**over), facts) == ending


@pytest.mark.parametrize(
    ("facts", "ending"),
    [
        pytest.param(
            AttemptFacts(final=True, end_class=EndClass.RATE_LIMITED, message="429", exit_code=1),
            Ending(EndClass.RATE_LIMITED, "429", 1),
            id="the sidecar saw the agent end",
        ),
        pytest.param(
            AttemptFacts(end_class=EndClass.SUCCEEDED),
            Ending(EndClass.UNKNOWN, "its pod was deleted before it ended"),
            id="it was still at work",
        ),
        pytest.param(
            AttemptFacts(final=True),
            Ending(EndClass.UNKNOWN, "its pod was deleted before it ended"),
            id="it ended without a word",
        ),
    ],
)
def test_a_pod_that_vanished_is_judged_by_what_its_sidecar_told(facts: AttemptFacts, ending: Ending) -> None:
    assert vanished(facts) == ending


@pytest.mark.parametrize(
    ("exit_code", "message", "reason"),
    [
        (127, "droveway: setsid is missing in this image", "SetsidMissing"),
        (126, "droveway: setsid is missing in this image", None),
        (127, "sh: setsid is missing", None),
        (None, "", None),
    ],
)
def test_only_the_wrapper_itself_says_that_an_image_can_never_run(
    exit_code: int | None, message: str, reason: str | None
) -> None:
    assert unrunnable(exit_code, message) == reason
