"""A namespace on the kind cluster as a team sees it: apply, look, wait.

Reads go through kubernetes-asyncio: other eyes than the operator's own.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import yaml
from kubernetes_asyncio import client, config
from kubernetes_asyncio.client.exceptions import ApiException

GROUP, VERSION = "droveway.dev", "v1alpha1"
SYSTEM = "droveway-system"
IMAGE = os.environ.get("DROVEWAY_IMAGE", "droveway/droveway:0.1.0")
AGENTS_IMAGE = os.environ.get("DROVEWAY_AGENTS_IMAGE", "droveway/agents:0.1.0")
Manifest = dict[str, Any]


def kubectl(*args: str, stdin: str | None = None, check: bool = True) -> str:
    """Standard output of kubectl; its error text in the exception."""
    done = subprocess.run(["kubectl", *args], input=stdin, capture_output=True, text=True, check=False, timeout=180)
    if check and done.returncode:
        raise AssertionError(f"kubectl {' '.join(args)}: {done.stderr or done.stdout}")
    return done.stdout


def kubectl_json(*args: str) -> Manifest:
    """What kubectl answers as JSON."""
    found: Manifest = json.loads(kubectl(*args, "-o", "json"))
    return found


def agent(name: str, cli: str, **spec: Any) -> Manifest:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Agent",
        "metadata": {"name": name},
        "spec": {"cli": cli, "image": AGENTS_IMAGE, **spec},
    }


def shell_agent(name: str, script: str) -> Manifest:
    """A custom agent that runs a shell script."""
    return agent(name, "custom", command=["/bin/sh", "-c", script])


def provider(name: str, scenario: str, dialect: str = "Anthropic", **spec: Any) -> Manifest:
    """A provider whose upstream is the namespace's mock in a scenario."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "ModelProvider",
        "metadata": {"name": name},
        "spec": {
            "dialect": dialect,
            "baseURL": f"http://mockllm.NAMESPACE:9100/s/{scenario},run={name}",
            "credentialsRef": {"name": "key", "key": "apiKey"},
            **spec,
        },
    }


def route(name: str, *candidates: Manifest, **spec: Any) -> Manifest:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "ModelRoute",
        "metadata": {"name": name},
        "spec": {"candidates": list(candidates), **spec},
    }


def candidate(
    name: str, model: str = "claude-sonnet-4-5", provider: str | None = None, agent: str | None = None
) -> Manifest:
    found: Manifest = {"name": name, "providerRef": {"name": provider or name}, "model": model}
    return found | ({"agentRef": {"name": agent}} if agent else {})


def agent_run(name: str, route: str, agent: str | None = None, **spec: Any) -> Manifest:
    ref = {"agentRef": {"name": agent}} if agent else {}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "AgentRun",
        "metadata": {"name": name},
        "spec": {
            "routeRef": {"name": route},
            "prompt": "Write a file, then say what you wrote.",
            "timeoutSeconds": 300,
            "stallTimeoutSeconds": 200,
            **ref,
            **spec,
        },
    }


def summary(run: Manifest) -> tuple[str, str]:
    """Status and reason of the run's summary condition."""
    found = condition(run, "Succeeded")
    return found.get("status", ""), found.get("reason", "")


def condition(run: Manifest, kind: str) -> Manifest:
    return next((c for c in run.get("status", {}).get("conditions", []) if c["type"] == kind), {})


def finished(run: Manifest) -> bool:
    return summary(run)[0] in ("True", "False")


class Team:
    """One namespace with a mock provider in it."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._api: client.ApiClient | None = None

    async def __aenter__(self) -> Self:
        await config.load_kube_config()
        self._api = client.ApiClient()
        self.objects = client.CustomObjectsApi(self._api)
        self.core = client.CoreV1Api(self._api)
        kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(self._furniture()))
        kubectl("-n", self.namespace, "rollout", "status", "deploy/mockllm", "--timeout=120s")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._api:
            await self._api.close()

    def apply(self, *manifests: Manifest) -> None:
        text = yaml.safe_dump_all(manifests).replace("mockllm.NAMESPACE", f"mockllm.{self.namespace}")
        kubectl("-n", self.namespace, "apply", "-f", "-", stdin=text)

    def patch(self, name: str, **spec: Any) -> None:
        kubectl("-n", self.namespace, "patch", "agentrun", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    async def get(self, name: str, plural: str = "agentruns") -> Manifest:
        found: Manifest = await self.objects.get_namespaced_custom_object(GROUP, VERSION, self.namespace, plural, name)
        return found

    async def until(
        self, name: str, seen: Callable[[Manifest], bool], what: str, seconds: float = 120, plural: str = "agentruns"
    ) -> Manifest:
        """Waits until an object looks as it should.

        Raises:
            AssertionError: it did not in time; with what it looked like instead.
        """
        found: Manifest = {}
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found = await self.get(name, plural)
                    if seen(found):
                        return found
                    await asyncio.sleep(0.3)
        except TimeoutError:
            raise AssertionError(
                f"{plural}/{name}: not {what} within {seconds} s: {json.dumps(found.get('status'), indent=1)}"
            ) from None

    async def done(self, name: str, seconds: float = 150) -> Manifest:
        return await self.until(name, finished, "finished", seconds)

    async def pods(self, name: str) -> list[Manifest]:
        """The run's pods, as plain objects."""
        label = f"{GROUP}/run={name}"
        found: list[Manifest] = kubectl_json("-n", self.namespace, "get", "pods", "-l", label)["items"]
        return found

    async def exists(self, plural: str, name: str) -> bool:
        try:
            await self.get(name, plural)
        except ApiException as error:
            if error.status == 404:
                return False
            raise
        return True

    def calls(self, provider: str) -> list[Manifest]:
        """What the mock saw of a provider: one entry per upstream request."""
        path = f"/api/v1/namespaces/{self.namespace}/services/mockllm:9100/proxy/_mock/calls?run={provider}"
        found: list[Manifest] = json.loads(kubectl("get", "--raw", path))
        return [c for c in found if c["method"] == "POST"]

    def dump(self, folder: Path) -> None:
        """Everything that explains a failure, in one folder."""
        folder.mkdir(parents=True, exist_ok=True)
        kinds = "agentruns,agents,modelproviders,modelroutes,pods,pvc,configmaps,events"
        (folder / "objects.yaml").write_text(kubectl("-n", self.namespace, "get", kinds, "-o", "yaml", check=False))
        (folder / "events.txt").write_text(
            kubectl("-n", self.namespace, "get", "events", "--sort-by=.lastTimestamp", check=False)
        )
        (folder / "describe.txt").write_text(kubectl("-n", self.namespace, "describe", "agentruns,pods", check=False))
        for namespace in (self.namespace, SYSTEM):
            for pod in kubectl("-n", namespace, "get", "pods", "-o", "name", check=False).split():
                for extra in ((), ("--previous",)):
                    text = kubectl("-n", namespace, "logs", pod, "--all-containers", "--tail=2000", *extra, check=False)
                    if text:
                        (folder / f"{namespace}-{pod.removeprefix('pod/')}{''.join(extra)}.log").write_text(text)

    def _furniture(self) -> list[Manifest]:
        meta = {"name": "mockllm", "namespace": self.namespace}
        restricted = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": enforce}},
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "key", "namespace": self.namespace},
                "stringData": {"apiKey": "not-a-key"},
            },
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "login", "namespace": self.namespace},
                "stringData": {"token": "not-a-login"},
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": meta,
                "spec": {"selector": {"app": "mockllm"}, "ports": [{"port": 9100}]},
            },
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": meta,
                "spec": {
                    "selector": {"matchLabels": {"app": "mockllm"}},
                    "template": {
                        "metadata": {"labels": {"app": "mockllm"}},
                        "spec": {
                            "terminationGracePeriodSeconds": 1,
                            "securityContext": {
                                "runAsNonRoot": True,
                                "runAsUser": 65532,
                                "seccompProfile": {"type": "RuntimeDefault"},
                            },
                            "containers": [
                                {
                                    "name": "mockllm",
                                    "image": IMAGE,
                                    "args": ["mockllm", "--host", "0.0.0.0", "--log", "-"],
                                    "ports": [{"containerPort": 9100}],
                                    "securityContext": restricted,
                                    "readinessProbe": {"tcpSocket": {"port": 9100}, "periodSeconds": 1},
                                }
                            ],
                        },
                    },
                },
            },
        ]
