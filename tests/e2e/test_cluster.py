"""The cluster itself: what is inside reaches what is inside, and nothing gets out."""

import json
import re
import time
import urllib.request

import pytest

from helpers.team import Team, kubectl

pytestmark = pytest.mark.e2e

LOOK = """
import json, socket, time, urllib.request
def tried(act):
    start = time.monotonic()
    try:
        said = str(act())
    except OSError as error:
        said = type(error).__name__
    return said, time.monotonic() - start
def get(url):
    for _ in range(20):  # kube-proxy is a moment behind a new service
        try:
            return urllib.request.urlopen(url, timeout=5).status
        except OSError:
            time.sleep(0.2)
    return "no answer"
def call(kind, address):
    with socket.socket(socket.AF_INET, kind) as s:
        s.settimeout(5)
        s.connect(address)
        s.send(b"?")
        return s.recv(1)
print(json.dumps({
    "service": tried(lambda: get("http://mockllm:9100/v1/models")),
    "full name": tried(lambda: get("http://mockllm.NAMESPACE.svc.cluster.local:9100/v1/models")),
    "pod": tried(lambda: get("http://%s:9100/v1/models" % socket.gethostbyname(socket.gethostname()))),
    "api": tried(lambda: socket.create_connection(("kubernetes.default", 443), 5) and "connected"),
    "outside tcp": tried(lambda: call(socket.SOCK_STREAM, ("192.0.2.1", 443))),
    "outside udp": tried(lambda: call(socket.SOCK_DGRAM, ("192.0.2.1", 53))),
    "host": tried(lambda: call(socket.SOCK_STREAM, ("GATEWAY", 22))),
    "outside name": tried(lambda: socket.getaddrinfo("model-vendor.example", 443)),
}))
"""


def seen_from_a_pod(namespace: str) -> dict[str, tuple[str, float]]:
    """What each kind of connection ended in, and after how many seconds."""
    node = json.loads(kubectl("get", "nodes", "-o", "json"))["items"][0]
    gateway = re.sub(r"\d+$", "1", node["status"]["addresses"][0]["address"])
    script = LOOK.replace("NAMESPACE", namespace).replace("GATEWAY", gateway)
    told = json.loads(kubectl("-n", namespace, "exec", "deploy/mockllm", "--", "python", "-c", script))
    return {name: (said, seconds) for name, (said, seconds) in told.items()}


def answers(url: str) -> bool:
    """Whether the address answers within seconds: kube-proxy is a moment behind a new service."""
    for _ in range(20):
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            time.sleep(0.5)
    return False


async def test_pods_reach_each_other_and_nothing_else(team: Team) -> None:
    if not kubectl("-n", "kube-system", "get", "daemonset", "podnet", "--ignore-not-found"):
        pytest.skip("only the locally built cluster refuses what leaves it")
    seen = seen_from_a_pod(team.namespace)

    assert {name: said for name, (said, _) in seen.items()} == {
        "service": "200",
        "full name": "200",
        "pod": "200",
        "api": "connected",
        "outside tcp": "ConnectionRefusedError",
        "outside udp": "ConnectionRefusedError",
        "host": "ConnectionRefusedError",
        "outside name": "gaierror",
    }
    late = {name: seconds for name, (_, seconds) in seen.items() if seconds >= 4}
    assert not late, "a refusal comes at once; five seconds would be a timeout"
    asked = kubectl("-n", "kube-system", "logs", "-l", "k8s-app=kube-dns", "--tail=500")
    assert "model-vendor.example." in asked, "a name that a pod asked for is there to be seen"


async def test_the_host_reaches_a_node_port(team: Team) -> None:
    port = {"type": "NodePort", "selector": {"app": "mockllm"}, "ports": [{"port": 9100}]}
    team.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "outside"}, "spec": port})
    number = kubectl("-n", team.namespace, "get", "service", "outside", "-o", "jsonpath={.spec.ports[0].nodePort}")
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].status.addresses[0].address}")
    assert answers(f"http://{node}:{number}/v1/models")
