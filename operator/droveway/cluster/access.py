"""Where the API server is and how to prove who we are: a kubeconfig, or the pod's service account.

By hand, since loading it through kubernetes-asyncio imports every model of the Kubernetes API: 65 MiB for three fields
(docs/adr/0002).
"""

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from droveway.api.errors import UserMustAct

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Access:
    """One API server and one identity.

    Attributes:
        server: URL without a trailing slash.
        trust: TLS context, with the client certificate loaded if there is one; None for plain HTTP.
        token: bearer token, or empty.
        token_file: file that holds the current token; it is rotated and has to be read again.
        authority_file, certificate_file, key_file: the same as paths, for kopf.
    """

    server: str
    trust: ssl.SSLContext | None
    token: str = ""
    token_file: Path | None = None
    authority_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    def current_token(self) -> str:
        """The token as of now."""
        return self.token_file.read_text(encoding="utf-8").strip() if self.token_file else self.token


def discover() -> Access:
    """KUBECONFIG, else the pod's service account, else `~/.kube/config`.

    Raises:
        UserMustAct: none of them is there, or it cannot be used.
    """
    configured = os.environ.get("KUBECONFIG")
    if not configured and (_SERVICE_ACCOUNT / "token").exists():
        return from_service_account()
    path = Path(configured.split(os.pathsep)[0] if configured else Path.home() / ".kube" / "config")
    if not path.exists():
        raise UserMustAct(f"no cluster: {path} does not exist and this is no pod; set KUBECONFIG, or `make cluster-up`")
    return from_kubeconfig(path)


def from_service_account() -> Access:
    """The identity of the pod that this process runs in."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    authority = str(_SERVICE_ACCOUNT / "ca.crt")
    return Access(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        trust=_trust(authority),
        token_file=_SERVICE_ACCOUNT / "token",
        authority_file=authority,
    )


def from_kubeconfig(path: Path) -> Access:
    """The current context of a kubeconfig: a token, a token file or a client certificate.

    Raises:
        UserMustAct: it has no usable current context.
    """
    config = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    try:
        context = _named(config, "contexts", config["current-context"])["context"]
        cluster = _named(config, "clusters", context["cluster"])["cluster"]
        user = _named(config, "users", context["user"])["user"]
    except (KeyError, StopIteration) as error:
        raise UserMustAct(
            f"{path} has no usable current context ({error!r}); pick one with `kubectl config use-context`"
        ) from error
    if "exec" in user or "auth-provider" in user:
        raise UserMustAct(f"{path}: the context logs in through a plugin; give it a token or a client certificate")
    authority = _as_file(cluster, "certificate-authority", path)
    certificate, key = _as_file(user, "client-certificate", path), _as_file(user, "client-key", path)
    trust = _trust(authority) if cluster["server"].startswith("https") else None
    if trust and certificate:
        trust.load_cert_chain(certificate, key)
    token_file = user.get("tokenFile")
    return Access(
        server=cluster["server"].rstrip("/"),
        trust=trust,
        token=user.get("token", ""),
        token_file=Path(token_file) if token_file else None,
        authority_file=authority,
        certificate_file=certificate,
        key_file=key,
    )


def _named(config: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in config[section] if item["name"] == name)
    return found


def _as_file(section: dict[str, Any], field: str, config: Path) -> str | None:
    if inline := section.get(f"{field}-data"):
        with tempfile.NamedTemporaryFile(
            "wb", prefix="droveway-", delete=False
        ) as file:  # mode 0600; kopf wants a path
            file.write(base64.b64decode(inline))
        return file.name
    named = section.get(field)
    return str(config.parent / named) if named else None


def _trust(authority: str | None) -> ssl.SSLContext:
    trust = ssl.create_default_context(cafile=authority)
    # Self-made authorities often lack the key usage extension that strict mode of Python 3.13 wants.
    trust.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    return trust
