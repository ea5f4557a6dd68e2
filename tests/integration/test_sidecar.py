"""The real sidecar process, beside the real wrapper, before a real HTTP server."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from droveway.api.enums import EndClass
from droveway.core.events import Record, batch_from_dict, record_from_dict
from droveway.core.keys import RunIdentity, is_sidecar_token, namespace_key
from helpers.attempt import ENV, folders, limit, paths_in, said, step

pytestmark = pytest.mark.integration

PATIENCE = 30.0  # seconds: only a hang reaches it
RSS_LIMIT_KIB = 25 * 1024
FIXTURES = Path(__file__).parents[1] / "fixtures/cli"
KEY = namespace_key(b"master", "team-a")


@dataclass
class Operator:
    """Writes down what it is sent; the test says how it answers."""

    records: dict[int, Record] = field(default_factory=dict)
    resent: int = 0
    posts: int = 0
    tokens: set[str] = field(default_factory=set)
    status: int = 200
    silent: bool = False

    def take(self, token: str, body: bytes) -> tuple[int, bytes]:
        self.posts += 1
        self.tokens.add(token)
        if self.status != 200:
            return self.status, b"standby"
        batch = batch_from_dict(json.loads(body))
        assert (batch.source, batch.namespace, batch.route) == ("uid-1-2", "team-a", "coding")
        for record in batch.records:
            assert self.records.setdefault(record.number, record) == record, "one number, two records"
            self.resent += 1
        return 200, json.dumps({"acknowledged": max(self.records)}).encode()

    @property
    def told(self) -> list[Record]:
        """In order, without a gap."""
        assert sorted(self.records) == list(range(1, len(self.records) + 1))
        return [self.records[number] for number in sorted(self.records)]

    @property
    def totals(self) -> list[int]:
        return [r.tokens.total for r in self.told if r.id]


@pytest.fixture
def operator() -> Operator:
    return Operator()


@pytest.fixture
def url(operator: Operator) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            while operator.silent:
                time.sleep(0.05)
            status, answer = operator.take(self.headers["Authorization"].removeprefix("Bearer "), body)
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                if status == 503:
                    self.send_header("Retry-After", "1")
                self.end_headers()
                self.wfile.write(answer)
            except BrokenPipeError:
                return  # the sidecar was killed, or gave up

        def log_message(self, *args: object) -> None:
            del args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    operator.silent = False
    server.shutdown()
    thread.join()
    server.server_close()


class Pod:
    """Folders, a sidecar that can be killed and started, and an agent behind the real wrapper."""

    def __init__(self, root: Path, url: str) -> None:
        self.paths = paths_in(root)
        self.env = os.environ | ENV | folders(root) | {"DROVEWAY_OPERATOR_URL": url, "TMPDIR": str(root)}
        (self.paths.namespace_key / "current").write_text(KEY)
        subprocess.run([sys.executable, "-m", "droveway.sidecar.setup"], env=self.env, check=True)
        self.sidecar: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.sidecar = subprocess.Popen([sys.executable, "-m", "droveway.sidecar"], env=self.env)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.sidecar
        self.sidecar.send_signal(number)
        return self.sidecar.wait(timeout=PATIENCE)

    def prints(self, *lines: str, segment: int = 1) -> None:
        with (self.paths.stream / f"stdout.{segment}").open("a") as file:
            file.write("".join(line + "\n" for line in lines))

    def runs(self, script: str) -> int:
        """The agent, from its beginning to its end."""
        command = ["sh", str(self.paths.wrapper), "sh", "-c", script]
        return subprocess.run(command, env=self.env, capture_output=True, timeout=PATIENCE, check=False).returncode

    @property
    def message(self) -> Record:
        return record_from_dict(json.loads(self.paths.termination_log.read_text()))

    def memory(self, name: str) -> int:
        assert self.sidecar
        status = Path(f"/proc/{self.sidecar.pid}/status").read_text()
        return int(status.partition(f"{name}:")[2].split()[0])


@pytest.fixture
def pod(tmp_path: Path, url: str) -> Iterator[Pod]:
    pod = Pod(tmp_path, url)
    yield pod
    if pod.sidecar and pod.sidecar.poll() is None:
        pod.stop(signal.SIGKILL)


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def test_a_real_recording_behind_the_wrapper(pod: Pod, operator: Operator) -> None:
    pod.env["DROVEWAY_CLI"] = "claude"
    pod.start()
    assert pod.runs(f"cat {FIXTURES}/claude/ok/stdout.jsonl; exit 0") == 0
    until(lambda: any(r.final for r in operator.told))
    assert pod.stop() == 0
    final = operator.told[-1]
    assert (final.end_class, final.exit_code, final.completions) == (EndClass.SUCCEEDED, 0, 1)
    assert final.tokens.output > 0
    assert final.result
    assert pod.message.number == final.number
    (token,) = operator.tokens
    assert is_sidecar_token(token, KEY, RunIdentity("uid-1", 2))


def test_a_limit_arrives_while_the_agent_still_runs(pod: Pod, operator: Operator) -> None:
    pod.start()
    pod.prints(limit())
    until(lambda: any(r.verdict and r.verdict.is_limit for r in operator.told))
    assert pod.sidecar
    assert pod.sidecar.poll() is None


def test_killed_at_any_moment_nothing_is_lost_and_nothing_counted_twice(pod: Pod, operator: Operator) -> None:
    sent: list[int] = []
    for life in range(6):
        pod.start()
        for beat in range(10):
            sent.append(life * 100 + beat + 1)
            pod.prints(step(sent[-1]), segment=life + 1)
            time.sleep(0.01 * life)
        operator.silent = life == 3
        until(lambda life=life: life != 2 or operator.told)  # type: ignore[misc]
        pod.stop(signal.SIGKILL)
        operator.silent = False
    pod.start()
    pod.prints(step(1000, reason="stop"), segment=7)
    pod.paths.exit.write_text("0\n")
    until(lambda: any(r.final for r in operator.told))
    assert pod.stop() == 0
    assert operator.totals == [*sent, 1000]
    assert pod.message.tokens.total == sum(sent) + 1000
    assert pod.message.completions == len(sent) + 1


def test_an_operator_that_is_away_gets_it_all_when_it_is_back(pod: Pod, operator: Operator) -> None:
    operator.status = 503
    pod.start()
    pod.prints(step(1), step(2))
    until(lambda: operator.posts >= 2)
    pod.prints(step(3))
    operator.status = 200
    until(lambda: operator.totals == [1, 2, 3])


def test_an_operator_that_never_answers_does_not_keep_the_final_record(pod: Pod, operator: Operator) -> None:
    """SIGTERM while a request hangs: the record is left in time, and the process ends within the kubelet's grace."""
    operator.silent = True
    pod.start()
    pod.prints(step(1), step(2))
    until(lambda: pod.paths.journal.exists() and pod.paths.journal.stat().st_size)
    begun = time.monotonic()
    assert pod.stop() == 0
    assert time.monotonic() - begun < 10
    assert (pod.message.final, pod.message.exit_code, pod.message.tokens.total) == (True, None, 3)
    assert not operator.records


def test_nobody_to_talk_to_at_all(pod: Pod) -> None:
    pod.env["DROVEWAY_OPERATOR_URL"] = "http://127.0.0.1:9"
    pod.start()
    assert pod.runs(f"echo '{step(5, reason='stop')}'") == 0
    until(lambda: pod.paths.termination_log.stat().st_size)
    assert (pod.message.end_class, pod.message.tokens.total) == (EndClass.SUCCEEDED, 5)
    assert pod.stop() == 0


def test_why_an_agent_could_not_start_reaches_the_operator(pod: Pod, operator: Operator) -> None:
    pod.start()
    command = ["sh", str(pod.paths.wrapper), "no-such-agent"]
    assert subprocess.run(command, env=pod.env, capture_output=True, check=False).returncode == 127
    until(lambda: any(r.final for r in operator.told))
    assert "no-such-agent is not in this image" in (pod.message.error or "")


def test_it_stays_small(pod: Pod, operator: Operator) -> None:
    """Also with an absent operator, thousands of records, and lines of ten megabytes."""
    operator.status = 503
    pod.start()
    until(lambda: operator.posts or pod.paths.journal.exists())
    pod.prints(*(step(n) for n in range(1, 3001)))
    until(lambda: operator.posts)
    idle = pod.memory("VmRSS")
    pod.prints(said("é" * 5_000_000), step(5000), said("x" * 900_000), step(6000), segment=2)
    operator.status = 200
    until(lambda: len(operator.records) > 3000 and operator.totals[-1] == 6000)
    assert idle <= RSS_LIMIT_KIB
    assert pod.memory("VmRSS") <= RSS_LIMIT_KIB
    print(idle, pod.memory("VmRSS"), pod.memory("VmHWM"))


def test_what_is_missing_is_named(pod: Pod) -> None:
    del pod.env["DROVEWAY_ROUTE"]
    done = subprocess.run(
        [sys.executable, "-m", "droveway.sidecar"], env=pod.env, capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1
    assert b"DROVEWAY_ROUTE" in done.stderr
