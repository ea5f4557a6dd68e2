"""`droveway operator` as a process, and what a test sees of it from outside."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from helpers.control_plane import Api, Json

MASTER = "a-master-key-of-tests"


class OperatorProcess:
    """One operator, confined to one namespace: its runs, and its Lease.

    Attributes:
        log: everything that it and its predecessors printed.
    """

    def __init__(
        self, kubeconfig: Path, namespace: str, folder: Path, identity: str = "op", resync_seconds: float = 300
    ) -> None:
        self.port, self.log = free_port(), folder / f"{identity}.log"
        self._key = folder / "master"
        self._key.write_text(MASTER)
        self._env = os.environ | {
            "KUBECONFIG": str(kubeconfig),
            "DROVEWAY_MASTER_KEY_FILE": str(self._key),
            "DROVEWAY_NAMESPACE": namespace,
            "DROVEWAY_NAMESPACES": json.dumps([namespace]),
            "DROVEWAY_IDENTITY": identity,
            "DROVEWAY_HOST": "127.0.0.1",
            "DROVEWAY_PORT": str(self.port),
            "DROVEWAY_RESYNC_SECONDS": str(resync_seconds),
        }
        self._http = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=10)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "droveway", "operator"], env=self._env, stdout=log, stderr=log
            )

    def wait_active(self) -> None:
        until(lambda: self.says("/readyz") == (200, "active"), f"the operator did not become active: {self.log}")

    def says(self, path: str) -> tuple[int, str]:
        """Status and text of an answer; (0, "") when there is none."""
        try:
            answer = self._http.get(path)
        except httpx2.TransportError:
            return 0, ""
        return answer.status_code, answer.text

    def tell(self, batch: Json) -> httpx2.Response:
        return self._http.post("/v1/events", json=batch)

    def metric(self, line: str) -> float:
        """Value of a metric by its name and labels as printed; 0 when there is none."""
        lines = (text.rpartition(" ") for text in self.says("/metrics")[1].splitlines())
        return next((float(value) for name, _, value in lines if name == line), 0.0)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def terminate(self, seconds: float = 20) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.kill()
        self._http.close()


@contextmanager
def operating(*args: Any, **more: Any) -> Iterator[OperatorProcess]:
    """A running, active operator."""
    found = OperatorProcess(*args, **more)
    try:
        found.start()
        found.wait_active()
        yield found
    finally:
        found.close()


class Recorder:
    """Remembers every change of the objects under a path, from now on."""

    def __init__(self, api: Api, path: str) -> None:
        version = api.call("GET", path).body["metadata"]["resourceVersion"]
        self.changes: list[tuple[str, Json]] = []
        self._api, self._path, self._version = api, path, version
        self._over, self._news = threading.Event(), threading.Condition()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        while not self._over.is_set():
            query = {"watch": "1", "resourceVersion": self._version}
            try:
                with self._api.http.stream(
                    "GET", self._path, params=query, timeout=httpx2.Timeout(5, read=1)
                ) as answer:
                    for line in answer.iter_lines():
                        if self._over.is_set():
                            return
                        event = json.loads(line)
                        self._version = event["object"]["metadata"]["resourceVersion"]
                        with self._news:
                            self.changes.append((event["type"], event["object"]))
                            self._news.notify_all()
            except httpx2.TransportError:
                continue

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def of(self, kind: str) -> list[Json]:
        """The objects of all changes of a kind: ADDED, MODIFIED or DELETED."""
        return [obj for what, obj in list(self.changes) if what == kind]

    def await_next(self, kind: str, seconds: float = 30) -> None:
        """Returns within a millisecond of the next change of a kind."""
        with self._news:
            already = len(self.of(kind))
            assert self._news.wait_for(lambda: len(self.of(kind)) > already, seconds)


@contextmanager
def recorded(api: Api, path: str) -> Iterator[Recorder]:
    found = Recorder(api, path)
    try:
        yield found
    finally:
        found.stop()


def until(holds: Callable[[], Any], why: str = "it did not come true", seconds: float = 30) -> None:
    """Polls; an AssertionError after so long."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, why
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
