"""Who asks: the run key of a request, checked against the runs that live."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from droveway.api.names import RUN_KEY_PREFIX
from droveway.core.keys import RunIdentity, claimed_identity, is_run_key, namespace_key
from droveway.gateway.config import Run

_MOST_PROVEN = 4096  # keys; then they are worked out again


class NotAllowed(Exception):  # noqa: N818 - says what happened
    """The key opens nothing. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A live run, and which attempt of it asks."""

    run: Run
    attempt: int


class Doorkeeper:
    """Turns a key into a live run.

    Args:
        masters: accepted master keys.
        find: the run of a uid, as the configuration knows it now.
    """

    def __init__(self, masters: tuple[bytes, ...], find: Callable[[str], Run | None]) -> None:
        self._find = find
        self._proven: set[tuple[bytes, str]] = set()
        self._keys = lru_cache(maxsize=1024)(
            lambda namespace: tuple(namespace_key(master, namespace) for master in masters)
        )

    def admit(self, token: str) -> Caller:
        """Who this is.

        Raises:
            NotAllowed: it is nobody, or a run that no longer lives.
        """
        if not token:
            raise NotAllowed("no key was sent; send the run key as x-api-key, Authorization: Bearer or x-goog-api-key")
        who = claimed_identity(token) if token.startswith(RUN_KEY_PREFIX) else None
        if who is None:
            raise NotAllowed(
                "this is not a run key (dwk-…); inside an agent's pod it is in /droveway/run/key, and provider "
                "keys are not accepted here"
            )
        run = self._find(who.run_uid)
        if run is None:
            raise NotAllowed("the run of this key does not exist (any more); create an AgentRun and use its key")
        if not self._proves(token, who, run.namespace):
            raise NotAllowed(
                "this run key is forged, or the master key has changed twice since; the run's next attempt gets "
                "a new one"
            )
        if not run.live:
            raise NotAllowed(f"run {run.namespace}/{run.name} has ended; its keys ended with it")
        if who.attempt < run.attempt:
            raise NotAllowed(
                f"attempt {who.attempt} of run {run.namespace}/{run.name} is over; attempt {run.attempt} has its "
                "own key"
            )
        return Caller(run, who.attempt)

    def _proves(self, token: str, who: RunIdentity, namespace: str) -> bool:
        """Whether a key is genuine, which never changes: it is worked out once. Whether its run lives is asked every time.

        Genuine keys alone are remembered, by a digest: looking one up takes as long whatever a forged one has in common with it.
        """
        shown = (sha256(token.encode()).digest(), namespace)
        if shown in self._proven:
            return True
        if not any(is_run_key(token, key, who) for key in self._keys(namespace)):
            return False
        if len(self._proven) >= _MOST_PROVEN:
            self._proven.clear()
        self._proven.add(shown)
        return True
