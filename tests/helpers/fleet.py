"""A namespace with everything that runs on fake nodes need, and words for what became of them."""

from typing import Any

from droveway.api.names import API_VERSION
from helpers.control_plane import Api, Json, collection
from helpers.manifests import CUSTOM_AGENT, PROVIDER, ROUTE, RUN, changed
from helpers.operator_process import until

FAKE_NODES = {
    "spec.nodeSelector": {"type": "kwok"},
    "spec.tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
}
SECRET: Json = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "anthropic"},
    "stringData": {"apiKey": "sk-test"},
}


def agent(name: str, seconds: float = 0.2, exit_code: int = 0) -> Json:
    env = [{"name": "FAKE_SECONDS", "value": f"{seconds}s"}, {"name": "FAKE_EXIT", "value": str(exit_code)}]
    return changed(CUSTOM_AGENT, {"metadata.name": name, "spec.env": env, **FAKE_NODES})


TEAM: tuple[Json, ...] = (
    SECRET,
    agent("works"),
    agent("fails", exit_code=1),
    agent("endless", seconds=600),
    PROVIDER,
    ROUTE,
)


class Fleet:
    """Runs of one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api, self.namespace = api, namespace

    def add(self, *manifests: Json) -> None:
        for manifest in manifests:
            answer = self.api.create(manifest, self.namespace)
            assert not answer.refused, answer.body["message"]

    def remove(self, manifest: Json) -> None:
        self.api.call("DELETE", f"{collection(manifest, self.namespace)}/{manifest['metadata']['name']}")

    def run(self, name: str, agent: str = "works", **spec: Any) -> str:
        self.add(a_run(name, agent, **spec))
        return name

    def change(self, name: str, **spec: Any) -> None:
        manifest = {"apiVersion": API_VERSION, "kind": "AgentRun", "metadata": {"name": name}}
        answer = self.api.patch(manifest, self.namespace, {"spec": spec})
        assert not answer.refused, answer.body["message"]

    def get(self, name: str) -> Json:
        return self.api.call("GET", self.path("agentruns", f"/apis/{API_VERSION}", name)).body

    def status(self, name: str) -> Json:
        found: Json = self.get(name).get("status") or {}
        return found

    def summary(self, name: str) -> tuple[str, str]:
        """Reason and message of the condition Succeeded."""
        conditions = self.status(name).get("conditions", [])
        return next(((c["reason"], c["message"]) for c in conditions if c["type"] == "Succeeded"), ("", ""))

    def await_reason(self, name: str, reason: str, seconds: float = 20) -> Json:
        """The run's status, as soon as its summary has this reason."""
        until(lambda: self.summary(name)[0] == reason, f"{name} did not come to {reason}", seconds)
        return self.status(name)

    def pods(self, run: str = "") -> list[Json]:
        selector = f"droveway.dev/run={run}" if run else ""
        items: list[Json] = self.api.call("GET", self.path("pods"), labelSelector=selector).body["items"]
        return items

    def events(self, run: str) -> list[str]:
        """Reasons of the Events about a run."""
        found = self.api.call("GET", self.path("events", "/apis/events.k8s.io/v1")).body["items"]
        return [e["reason"] for e in found if e.get("regarding", {}).get("name") == run]

    def path(self, plural: str, root: str = "/api/v1", name: str = "") -> str:
        return f"{root}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")


def a_run(name: str, agent: str = "works", **spec: Any) -> Json:
    return changed(
        RUN, {"metadata.name": name, "spec.agentRef": {"name": agent}, **{f"spec.{k}": v for k, v in spec.items()}}
    )
