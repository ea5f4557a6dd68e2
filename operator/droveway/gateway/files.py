"""The manifests of a folder as configuration: the same ones as in a cluster, Secrets and AgentRuns among them."""

import asyncio
import base64
import binascii
import logging
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from droveway.api.errors import UserMustAct
from droveway.core.keys import RunIdentity, namespace_key, run_key
from droveway.gateway.config import Config, SecretKey, Snapshot, provider_of, quota_of, route_of, run_of

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
Manifest = dict[str, Any]
State = tuple[tuple[str, int, int], ...]


class Folder:
    """A folder of YAML files.

    Args:
        path: the folder; files `*.yaml` and `*.yml` in it count, sub-folders do not.
        config: where to serve them.
        on_error: called when a changed folder cannot be read; the last good state goes on serving.

    Attributes:
        on_swap: called after every successful reading.
    """

    def __init__(self, path: Path, config: Config, on_error: Callable[[], object]) -> None:
        self._path, self._config, self._on_error = path, config, on_error
        self.on_swap: list[Callable[[], None]] = []
        self._secrets: dict[SecretKey, str] = {}

    def load(self) -> None:
        """Reads the folder and serves what is in it.

        Raises:
            UserMustAct: it is no folder, or a manifest is not valid; the message names the file.
        """
        manifests = list(read_manifests(self._path))
        snapshot = _snapshot(manifests)
        self._secrets = dict(_secrets(manifests))
        self._config.swap(snapshot)
        self._config.synced = True
        for listener in self.on_swap:
            listener()
        log.info(
            "serving %d routes, %d providers and %d runs from %s",
            len(snapshot.routes),
            len(snapshot.providers),
            len(snapshot.runs),
            self._path,
        )

    async def read_secret(self, where: SecretKey) -> str | None:
        """The value of a key of a Secret in the folder."""
        return self._secrets.get(where)

    async def run(self) -> None:
        """Looks for changes until cancelled."""
        seen = _state(self._path)
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if (now := _state(self._path)) != seen:
                seen = now
                try:
                    self.load()
                except UserMustAct as error:
                    log.error("%s; the last good configuration goes on serving", error)  # noqa: TRY400 - no trace wanted
                    self._on_error()


def read_manifests(path: Path) -> Iterator[Manifest]:
    """All manifests of a folder, with the namespace `default` and a stable uid where they have none.

    Raises:
        UserMustAct: something is not a manifest.
    """
    if not path.is_dir():
        raise UserMustAct(f"{path} is not a folder; give --config a folder with YAML manifests")
    for file in _files(path):
        try:
            for document in yaml.safe_load_all(file.read_text()):
                if document is not None:
                    yield _complete(document, file)
        except (OSError, yaml.YAMLError) as error:
            raise UserMustAct(f"{file} cannot be read as YAML: {error}") from error


def print_key(config_dir: Path, master: bytes, run: str, attempt: int = 1) -> str:
    """The run key of a run in a folder.

    Args:
        config_dir: the folder that the gateway serves.
        master: its current master key.
        run: `<namespace>/<name>`.
        attempt: which attempt of it.

    Raises:
        UserMustAct: there is no such run in the folder.
    """
    namespace, _, name = run.rpartition("/")
    for manifest in read_manifests(config_dir):
        meta = manifest["metadata"]
        if manifest["kind"] == "AgentRun" and (meta["namespace"], meta["name"]) == (namespace or "default", name):
            return run_key(namespace_key(master, meta["namespace"]), RunIdentity(meta["uid"], attempt))
    raise UserMustAct(f"no AgentRun {run} in {config_dir}; give it as <namespace>/<name>")


def _complete(document: object, file: Path) -> Manifest:
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict) or "kind" not in document:
        raise UserMustAct(f"{file} holds something that is no Kubernetes manifest (kind and metadata are needed)")
    meta = document["metadata"]
    if not meta.get("name"):
        raise UserMustAct(f"{file}: a {document['kind']} has no metadata.name")
    meta["namespace"] = meta.get("namespace") or "default"
    meta["uid"] = meta.get("uid") or str(uuid.uuid5(uuid.NAMESPACE_URL, f"{meta['namespace']}/{meta['name']}"))
    return document


def _snapshot(manifests: list[Manifest]) -> Snapshot:
    def all_of(kind: str, make: Callable[[Manifest], Any]) -> Iterator[Any]:
        for manifest in manifests:
            if manifest["kind"] == kind:
                try:
                    yield make(manifest)
                except (ValueError, KeyError, TypeError) as error:
                    raise UserMustAct(f"{kind} {manifest['metadata']['name']} is not valid: {error}") from error

    return Snapshot.of(
        all_of("ModelRoute", route_of),
        all_of("ModelProvider", provider_of),
        all_of("AgentRun", run_of),
        all_of("TenantQuota", quota_of),
    )


def _secrets(manifests: list[Manifest]) -> Iterator[tuple[SecretKey, str]]:
    for manifest in manifests:
        if manifest["kind"] == "Secret":
            meta = manifest["metadata"]
            plain = {key: str(value) for key, value in (manifest.get("stringData") or {}).items()}
            for key, value in ({k: decode(v) for k, v in (manifest.get("data") or {}).items()} | plain).items():
                yield SecretKey(meta["namespace"], meta["name"], key), value.strip()


def decode(text: str) -> str:
    """A value of a Secret's `data`.

    Raises:
        UserMustAct: it is not base64 of a text.
    """
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise UserMustAct("a Secret's data must be base64 of a text; use stringData for plain text") from error


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.suffix in {".yaml", ".yml"} and file.is_file())


def _state(path: Path) -> State:
    try:
        return tuple((file.name, stat.st_mtime_ns, stat.st_size) for file in _files(path) if (stat := file.stat()))
    except OSError:
        return ()
