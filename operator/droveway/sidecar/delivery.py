"""Brings the journal's records to the operator: in batches, again after a failure, and never for long at a time."""

import http.client
import json
import os
from collections.abc import Callable
from urllib.parse import urlsplit

from droveway.api.errors import TryLater, UserMustAct
from droveway.core.events import Batch, batch_to_dict
from droveway.sidecar.journal import Journal
from droveway.sidecar.settings import Attempt

BATCH_RECORDS = 100
BATCH_SECONDS = 1.0
RETRY_SECONDS = (1.0, 15.0)  # the first pause after a failure, doubling up to the last

_TIMEOUT_SECONDS = 2.0
_OK = 200


class NotTaken(TryLater):
    """The operator did not take a batch.

    Attributes:
        after: seconds after which it asked to be tried again, if it did.
    """

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


Send = Callable[[Batch], int]
"""Sends one batch; the highest number that is acknowledged. Raises `NotTaken`."""


class Delivery:
    """When to send what.

    Attributes:
        problem: why the last batch was not taken; "" when it was.
    """

    def __init__(self, attempt: Attempt, journal: Journal, send: Send) -> None:
        self.problem = ""
        self._attempt = attempt
        self._journal = journal
        self._send = send
        self._failures = 0
        self._not_before = 0.0

    def offer(self, clock: float) -> bool:
        """Sends what is due: at most once in a second, urgent records at once, nothing during a pause after a failure.

        Returns:
            Whether there is more to send without a pause.
        """
        due = clock >= self._not_before or (self._journal.urgent and not self._failures)
        return self._journal.pending and due and self.send(clock) and self._journal.pending

    def send(self, clock: float) -> bool:
        """Sends one batch now; whether the operator took it."""
        try:
            acknowledged = self._post()
        except NotTaken as why:
            first, last = RETRY_SECONDS
            pause = why.after if why.after is not None else first * 2**self._failures
            self._failures = min(self._failures + 1, 8)
            self._not_before = clock + min(max(pause, first), last)
            self.problem = str(why)
            return False
        self._journal.acknowledge(acknowledged)
        self._journal.urgent = False
        self._failures, self.problem = 0, ""
        self._not_before = clock + (0 if self._journal.pending else BATCH_SECONDS)
        return True

    def _post(self) -> int:
        attempt = self._attempt
        records = self._journal.unacknowledged(BATCH_RECORDS)
        acknowledged = self._send(Batch(attempt.source, attempt.namespace, attempt.route, records))
        if acknowledged < records[0].number:
            raise NotTaken("the operator has not written the batch yet")
        return acknowledged


def sender(url: str, token: str) -> Send:
    """Sends to an operator over HTTP.

    Raises:
        UserMustAct: the address is not one.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise UserMustAct(f"the operator's address must be http://host:port, not {url!r}")
    host, port = parts.hostname, parts.port or 80
    os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:1")  # or a lost DNS would block for half a minute
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Connection": "close"}

    def send(batch: Batch) -> int:
        body = json.dumps(batch_to_dict(batch), separators=(",", ":")).encode()
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("POST", "/v1/events", body, headers)
            answer = connection.getresponse()
            return _acknowledged(answer.status, answer.getheader("Retry-After"), answer.read(65536))
        except (OSError, http.client.HTTPException) as error:
            raise NotTaken(f"the operator at {url} cannot be reached: {error!r}") from error
        finally:
            connection.close()

    return send


def _acknowledged(status: int, retry_after: str | None, body: bytes) -> int:
    if status != _OK:
        after = float(retry_after) if retry_after and retry_after.isdecimal() else None
        raise NotTaken(f"the operator answered {status}: {body[:200].decode('utf-8', 'replace')}", after)
    try:
        return int(json.loads(body)["acknowledged"])
    except (ValueError, KeyError, TypeError) as error:
        raise NotTaken(f"the operator's answer acknowledges nothing: {error!r}") from error
