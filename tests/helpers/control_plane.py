"""A real API server for tests: the plain processes of `hack/control-plane`, or a cluster's through its kubeconfig."""

import os
import random
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "hack" / "control-plane"
CACHE = Path(os.environ.get("DROVEWAY_CACHE") or Path.home() / ".cache" / "droveway")
PORTS = 5  # API server, etcd (2), controller manager, scheduler
WITHIN = 30.0  # seconds, for what a controller does on its own time

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the API server said."""

    code: int
    body: Json

    @property
    def refused(self) -> bool:
        return self.code >= 400

    @property
    def causes(self) -> list[tuple[str, str]]:
        """(field, message) of everything that a refusal objects to."""
        return [(c.get("field", ""), c["message"]) for c in self.body.get("details", {}).get("causes", [])]


class Api:
    """The API server, spoken to without a client library: what it answers is what is tested."""

    def __init__(self, http: httpx2.Client) -> None:
        self.http = http

    def call(self, method: str, path: str, body: Json | None = None, **query: str) -> Answer:
        kind = {"PATCH": "application/merge-patch+json"}.get(method, "application/json")
        found = self.http.request(method, path, json=body, params=query, headers={"content-type": kind})
        return Answer(found.status_code, found.json())

    def create(self, manifest: Json, namespace: str, *, dry_run: bool = False) -> Answer:
        """As `kubectl create` does it: unknown fields are refused."""
        query = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        return self.call("POST", collection(manifest, namespace), manifest, **query)

    def patch(self, manifest: Json, namespace: str, change: Json, subresource: str = "") -> Answer:
        """A merge patch: null removes a field."""
        path = f"{collection(manifest, namespace)}/{manifest['metadata']['name']}{subresource}"
        return self.call("PATCH", path, change, fieldValidation="Strict")

    def apply(self, manifest: Json, path: str) -> Answer:
        """Server-side apply of an object whose path is known."""
        found = self.http.patch(
            path,
            json=manifest,
            params={"fieldManager": "tests", "force": "true"},
            headers={"content-type": "application/apply-patch+yaml"},
        )
        return Answer(found.status_code, found.json())

    def install(self, definitions: list[Json]) -> None:
        """Apply CustomResourceDefinitions, and wait until each is served."""
        for definition in definitions:
            path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{definition['metadata']['name']}"
            answer = self.apply(definition, path)
            assert not answer.refused, answer.body["message"]
            wait_for(lambda path=path: condition(self.call("GET", path).body, "Established") == "True")
            spec = definition["spec"]
            version = spec["versions"][0]["name"]
            served = f"/apis/{spec['group']}/{version}/{spec['names']['plural']}"
            wait_for(lambda served=served: self.call("GET", served, limit="1").code == 200)

    @contextmanager
    def namespace(self, prefix: str = "test") -> Iterator[str]:
        """A namespace of its own, deleted in the end with all that is in it."""
        body = {"metadata": {"generateName": f"{prefix}-"}}
        name = self.call("POST", "/api/v1/namespaces", body).body["metadata"]["name"]
        try:
            yield name
        finally:
            self.call("DELETE", f"/api/v1/namespaces/{name}")


@dataclass(frozen=True)
class ControlPlane:
    """A control plane that runs. `kubeconfig` is its administrator's."""

    kubeconfig: Path

    @contextmanager
    def api(self) -> Iterator[Api]:
        config = yaml.safe_load(self.kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        with httpx2.Client(
            base_url=cluster["server"],
            verify=ssl.create_default_context(cafile=cluster["certificate-authority"]),
            headers={"authorization": f"Bearer {user['token']}"},
            trust_env=False,
            timeout=WITHIN,
        ) as http:
            yield Api(http)


@contextmanager
def control_plane(*, own: bool = False) -> Iterator[ControlPlane]:
    """The control plane of `make control-plane-up` where it runs; else, or if `own`, one for the time of the block."""
    state = Path(os.environ.get("CONTROL_PLANE_STATE") or CACHE / "control-plane")
    if not own and _answers(state / "kubeconfig"):
        yield ControlPlane(state / "kubeconfig")
        return
    with ExitStack() as stack:
        state = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="control-plane-", ignore_cleanup_errors=True))
        )
        knobs = {
            "CONTROL_PLANE_STATE": str(state),
            "CONTROL_PLANE_PORT": str(_free_ports()),
            "CONTROL_PLANE_NODES": "3",
        }
        stack.callback(_run, "down", knobs)
        _run("up", knobs)
        yield ControlPlane(state / "kubeconfig")


def collection(manifest: Json, namespace: str) -> str:
    """The path of the objects of a manifest's kind."""
    version = manifest["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{root}/namespaces/{namespace}/{manifest['kind'].lower()}s"


def condition(obj: Json, kind: str) -> str | None:
    """Status of a condition, or None."""
    conditions = obj.get("status", {}).get("conditions") or []  # null in a definition's first moment
    return next((c["status"] for c in conditions if c["type"] == kind), None)


def wait_for(holds: Any) -> None:
    """Until `holds()` is true; an AssertionError after WITHIN."""
    end = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.05)


def _run(script: str, knobs: dict[str, str]) -> None:
    done = subprocess.run(  # noqa: PLW1510 - judged below, with what it said
        [SCRIPTS / script], env=os.environ | knobs, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"


def _answers(kubeconfig: Path) -> bool:
    if not kubeconfig.exists():
        return False
    try:
        with ControlPlane(kubeconfig).api() as api:
            return api.http.get("/readyz").status_code == 200
    except (httpx2.TransportError, OSError):
        return False


def _free_ports() -> int:
    """The first of a row of free ports, below those that the kernel hands out by itself."""
    while True:
        first = random.randrange(20_000, 32_000)
        try:
            for port in range(first, first + PORTS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
