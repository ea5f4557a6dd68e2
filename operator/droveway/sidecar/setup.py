"""`python -m droveway.sidecar.setup`: the init container. Places the wrapper, the derived keys and the CLI's files.

It may run again (the kubelet restarts pods' init containers): each file is replaced as a whole.
"""

import json
import os
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path, PurePosixPath

from droveway.api.errors import Bug, DrovewayError, TryLater, UserMustAct
from droveway.api.names import KEY_CURRENT, SECRET_NAMESPACE_KEY
from droveway.core.keys import RunIdentity, run_key, sidecar_token
from droveway.sidecar.settings import Paths

EXIT_CODES = {TryLater: 75, UserMustAct: 78, Bug: 70}
"""By whose turn it is; the numbers are sysexits' EX_TEMPFAIL, EX_CONFIG and EX_SOFTWARE."""


def set_up(env: Mapping[str, str], paths: Paths) -> None:
    """Writes everything that the other two containers need.

    Raises:
        TryLater: a volume or the namespace key is not there.
        UserMustAct: the namespace key is not one.
        Bug: the operator has asked for something impossible.
    """
    try:
        who = RunIdentity(env["DROVEWAY_RUN_UID"], int(env["DROVEWAY_ATTEMPT"]))
        wanted = json.loads(env.get("DROVEWAY_FILES") or "{}")
        contents = {_below(paths.home, name): str(text).encode() for name, text in wanted.items()}
    except (KeyError, ValueError, AttributeError) as error:
        raise Bug(f"the operator's variables cannot be used: {error!r}") from error
    key = _namespace_key(paths.namespace_key / KEY_CURRENT)
    try:
        _place(paths.wrapper, files("droveway.sidecar").joinpath("wrapper").read_bytes(), 0o555)
        _place(paths.run_key, run_key(key, who).encode(), 0o440)
        _place(paths.token, sidecar_token(key, who).encode(), 0o400)
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            _place(path, content, 0o600)
    except OSError as error:
        raise TryLater(f"a file of the pod cannot be written: {error}") from error


def main() -> int:
    """Runs in the init container; the exit code."""
    paths = Paths.from_env(os.environ)
    try:
        set_up(os.environ, paths)
    except DrovewayError as error:
        message = f"droveway: {error}\n"
        sys.stderr.write(message)
        try:
            paths.termination_log.write_text(message)
        except OSError:
            sys.stderr.write("droveway: and the termination message cannot be written\n")
        return EXIT_CODES[type(error)]
    return 0


def _below(home: Path, name: str) -> Path:
    """Where a file goes; never outside HOME, whatever its name."""
    relative = PurePosixPath(name)
    path = home / relative
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise ValueError(f"{name!r} is not a path below HOME")
    if not path.parent.resolve().is_relative_to(home.resolve()):
        raise ValueError(f"{name!r} leads out of HOME")
    return path


def _namespace_key(path: Path) -> str:
    """The hex key that the operator keeps in the namespace's Secret."""
    try:
        key = path.read_text().strip()
    except OSError as error:
        raise TryLater(f"the key of the namespace cannot be read: {error}") from error
    try:
        bytes.fromhex(key)
    except ValueError:
        key = ""
    if not key:
        raise UserMustAct(
            f"Secret {SECRET_NAMESPACE_KEY}: {KEY_CURRENT} is not a hex key; delete the Secret, the operator makes it anew"
        )
    return key


def _place(path: Path, content: bytes, mode: int) -> None:
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask is
        file.write(content)
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
