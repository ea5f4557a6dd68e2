"""How an attempt ended, by the rank of the evidence.

kubelet (OOMKilled, Evicted, deadline) > the gateway's verdict on this attempt > what the CLI's stream said > exit code alone.
"""

from dataclasses import dataclass

from droveway.api.enums import EndClass, Reason
from droveway.core.facts import AttemptFacts
from droveway.core.podview import PodView

_REFUSED = 127  # with a message of its own, the wrapper has not even started the agent
_NO_SETSID = "droveway: setsid is missing"
_SIGNALLED = 128  # shells and the kubelet report signal n as 128 + n


@dataclass(frozen=True, slots=True)
class Ending:
    """What an attempt came to."""

    end_class: EndClass
    message: str = ""
    exit_code: int | None = None


def ending_of(pod: PodView, facts: AttemptFacts) -> Ending:
    """Judges a pod whose containers have all ended."""
    final = pod.final
    said = final.end_class if final else facts.end_class
    message = (final.error if final else None) or facts.message
    exit_code = pod.exit_code if pod.exit_code is not None else (final.exit_code if final else facts.exit_code)
    if pod.oom:
        return Ending(
            EndClass.OUT_OF_MEMORY,
            "the agent was killed for its memory; raise resources.limits.memory of its Agent",
            exit_code,
        )
    if pod.evicted:
        return Ending(EndClass.EVICTED, f"{pod.reason}: {pod.message}".strip(": "), exit_code)
    if pod.reason == "DeadlineExceeded":
        return Ending(EndClass.TIMEOUT, "the attempt ran longer than spec.timeoutSeconds", exit_code)
    if said is EndClass.SUCCEEDED:
        return Ending(EndClass.SUCCEEDED, "", exit_code)
    if (verdict := facts.exhausted) and exit_code != 0:
        return Ending(verdict.kind, verdict.reason, exit_code)
    if said is not None:
        return Ending(said, message or pod.message, exit_code)
    return _by_exit_code(pod, exit_code)


def unrunnable(exit_code: int | None, message: str) -> Reason | None:
    """Why the agent's image can never run, however often it is tried; None: it can, as far as one can tell."""
    return Reason.SETSID_MISSING if exit_code == _REFUSED and message.startswith(_NO_SETSID) else None


def vanished(facts: AttemptFacts) -> Ending:
    """Judges an attempt whose pod was deleted by somebody else before it could be judged."""
    if facts.final and facts.end_class is not None:
        return Ending(facts.end_class, facts.message, facts.exit_code)
    return Ending(EndClass.UNKNOWN, "its pod was deleted before it ended")


def _by_exit_code(pod: PodView, exit_code: int | None) -> Ending:
    if exit_code is None:
        return Ending(EndClass.UNKNOWN, pod.message or "the agent's container never started")
    if exit_code == 0:
        return Ending(EndClass.SUCCEEDED, "", 0)
    if exit_code > _SIGNALLED or pod.deleting:
        return Ending(
            EndClass.UNKNOWN,
            pod.message or f"the agent ended with exit code {exit_code} and no account of why",
            exit_code,
        )
    return Ending(EndClass.AGENT_FAILED, pod.message or f"the agent ended with exit code {exit_code}", exit_code)
