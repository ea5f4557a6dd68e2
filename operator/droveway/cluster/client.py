"""The API server, as far as we speak to it. Every method is one request; errors say what to do next."""

import time
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from aiohttp.connector import NEEDS_CLEANUP_CLOSED

from droveway.api.errors import DrovewayError, TryLater
from droveway.cluster.access import Access, discover
from droveway.cluster.objects import ResourceType

Manifest = dict[str, Any]
Page = tuple[list[Manifest], str]
"""Some of the objects of a list, and the version of the list."""

_TOKEN_SECONDS = 60.0
_PAGE = 100
_CONNECTIONS = 32  # bounded: a restart over many objects must not open one socket each


class ApiError(DrovewayError):
    """The API server refused a request."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{reason or status}: {message}")
        self.status, self.reason, self.message = status, reason, message


class NotFound(ApiError):  # noqa: N818 - the API server's own word
    """There is no such object."""


class Conflict(ApiError):  # noqa: N818 - the API server's own word
    """It exists already, or has changed since it was read."""


class Gone(ApiError):  # noqa: N818 - the API server's own word
    """The version to watch from is too old: list again."""


class Refused(ApiError):  # noqa: N818 - says what happened
    """The object is invalid, or not allowed: trying again is pointless."""


_ERRORS: dict[int, type[ApiError]] = {404: NotFound, 409: Conflict, 410: Gone, 400: Refused, 403: Refused, 422: Refused}


class Cluster:
    """One connection pool to one API server."""

    def __init__(self, access: Access, user_agent: str = "droveway") -> None:
        self.access = access
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None
        self._token, self._token_read = "", -_TOKEN_SECONDS

    @classmethod
    def connect(cls, user_agent: str = "droveway") -> Self:
        """The cluster that the environment names."""
        return cls(discover(), user_agent)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=_CONNECTIONS,
                ssl=self.access.trust or False,
                # asyncio before 3.12.8 keeps a TLS transport that was closed in mid-answer (CPython 118960).
                enable_cleanup_closed=NEEDS_CLEANUP_CLOSED,
            ),
            trust_env=False,
            read_bufsize=2**21,
            timeout=aiohttp.ClientTimeout(total=30, connect=10),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def get(self, what: ResourceType, namespace: str, name: str) -> Manifest | None:
        """The object, or None."""
        try:
            return await self._call("GET", what.path(namespace, name))
        except NotFound:
            return None

    async def list(
        self, what: ResourceType, namespace: str | None = None, label_selector: str | None = None
    ) -> tuple[list[Manifest], str]:
        """All objects, and the version to watch from. For kinds of which there are few; else see `pages`."""
        found: list[Manifest] = []
        version = ""
        async for page, version in self.pages(what, namespace, label_selector):  # noqa: B007 - the last one is returned
            found += page
        return found, version

    async def pages(
        self, what: ResourceType, namespace: str | None = None, label_selector: str | None = None
    ) -> AsyncGenerator[Page, None]:
        """All objects, a page at a time, so that thousands need not be in memory at once; and the version to watch from."""
        params = {"limit": str(_PAGE)} | ({"labelSelector": label_selector} if label_selector else {})
        while True:
            page = await self._call("GET", what.path(namespace), params=params)
            meta, items = page["metadata"], page.get("items") or []
            del page  # what was taken is to be gone before the next page comes
            yield items, meta["resourceVersion"]
            if not (more := meta.get("continue")):
                return
            params["continue"] = more

    async def create(self, what: ResourceType, manifest: Manifest) -> Manifest:
        """Creates the object.

        Raises:
            Conflict: one of that name exists.
        """
        namespace = manifest["metadata"].get("namespace")
        return await self._call("POST", what.path(namespace), manifest, params={"fieldManager": self._user_agent})

    async def replace(self, what: ResourceType, manifest: Manifest) -> Manifest:
        """Replaces the object if its resourceVersion is still the one in the manifest.

        Raises:
            Conflict: it has changed since.
        """
        meta = manifest["metadata"]
        return await self._call("PUT", what.path(meta.get("namespace"), meta["name"]), manifest)

    async def apply(
        self, what: ResourceType, manifest: Manifest, manager: str, *, subresource: str | None = None
    ) -> Manifest:
        """Server-side apply, forced for the fields in the manifest.

        With `metadata.resourceVersion` in it the write is refused when the object has changed; with `metadata.uid`, when it
        is another object of the same name.

        Raises:
            Conflict: either of the two.
        """
        meta = manifest["metadata"]
        return await self._call(
            "PATCH",
            what.path(meta.get("namespace"), meta["name"], subresource),
            manifest,
            content_type="application/apply-patch+yaml",
            params={"fieldManager": manager, "force": "true"},
        )

    async def apply_status(self, what: ResourceType, manifest: Manifest, manager: str) -> Manifest:
        """Server-side apply of the status subresource."""
        return await self.apply(what, manifest, manager, subresource="status")

    async def delete(
        self, what: ResourceType, namespace: str, name: str, *, uid: str | None = None, grace_seconds: int | None = None
    ) -> Manifest | None:
        """Asks for deletion; None when it is gone already (or, with `uid`, another object has its name)."""
        options: Manifest = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            return await self._call("DELETE", what.path(namespace, name), options)
        except NotFound:
            return None
        except Conflict:
            if uid:
                return None
            raise

    async def watch(
        self,
        what: ResourceType,
        version: str,
        namespace: str | None = None,
        label_selector: str | None = None,
        seconds: int = 300,
    ) -> AsyncGenerator[Manifest, None]:
        """Events after a version, until the server ends the stream.

        Raises:
            Gone: the version is too old.
            TryLater: the stream broke off, or could not be opened.
        """
        params = {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        if label_selector:
            params["labelSelector"] = label_selector
        clocks = aiohttp.ClientTimeout(total=None, connect=10, sock_read=seconds + 30)
        path = what.path(namespace)
        try:
            async with self._open("GET", path, params=params, timeout=clocks) as answer:
                await _raise_for(answer)
                async for line in answer.content:
                    event: Manifest = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise _error_of(event["object"])
                    yield event
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            raise TryLater(f"API server: watch {path}: {error!r}") from error

    async def _call(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        *,
        content_type: str = "application/json",
        params: dict[str, str] | None = None,
    ) -> Manifest:
        data = None if body is None else orjson.dumps(body)
        try:
            async with self._open(method, path, params=params, data=data, content_type=content_type) as answer:
                await _raise_for(answer)
                found: Manifest = orjson.loads(await answer.read())
                return found
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TryLater(f"API server: {method} {path}: {error!r}") from error

    def _open(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        data: bytes | None = None,
        content_type: str = "application/json",
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> Any:
        if self._session is None:
            raise RuntimeError("use the cluster in `async with`")
        headers = {"content-type": content_type, "accept": "application/json", "user-agent": self._user_agent}
        if token := self._bearer():
            headers["authorization"] = f"Bearer {token}"
        extra: dict[str, Any] = {"timeout": timeout} if timeout else {}
        return self._session.request(
            method, self.access.server + path, params=params, data=data, headers=headers, **extra
        )

    def _bearer(self) -> str:
        if time.monotonic() - self._token_read >= _TOKEN_SECONDS:
            self._token, self._token_read = self.access.current_token(), time.monotonic()
        return self._token


async def _raise_for(answer: aiohttp.ClientResponse) -> None:
    if answer.status < 400:
        return
    raw = await answer.read()
    try:
        status = orjson.loads(raw)
    except ValueError:
        status = {"message": raw[:200].decode("utf-8", "replace")}
    raise _error_of({"code": answer.status, **(status if isinstance(status, dict) else {})})


def _error_of(status: Manifest) -> ApiError | TryLater:
    code, reason, message = int(status.get("code") or 500), status.get("reason", ""), status.get("message", "")
    if code == 429 or code >= 500:
        return TryLater(f"API server: {code} {reason} {message}")
    if code == 422 and "metadata.uid: Invalid value" in message:
        code = 409  # an apply to another object of the same name
    return _ERRORS.get(code, ApiError)(code, reason, message)
