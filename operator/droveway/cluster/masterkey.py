"""The file that holds the master key, from which the keys of all runs derive."""

from pathlib import Path

from droveway.api.errors import UserMustAct

_SHORTEST_KEY = 16  # bytes


def read_master_keys(path: Path) -> tuple[bytes, ...]:
    """The master keys of a file, one a line, the current one first.

    Raises:
        UserMustAct: there is none, or one is too short to be a secret.
    """
    try:
        lines = [line.strip() for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise UserMustAct(
            f"cannot read the master key file {path}: {error.strerror}; mount it, or set DROVEWAY_MASTER_KEY_FILE"
        ) from error
    keys = tuple(line for line in lines if line)
    if not keys or any(len(key) < _SHORTEST_KEY for key in keys):
        raise UserMustAct(
            f"{path} must hold a master key of at least {_SHORTEST_KEY} characters per line, the current one "
            "first; make one with `openssl rand -hex 32`"
        )
    return keys
