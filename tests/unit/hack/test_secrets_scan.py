"""The scanner finds a key anywhere in the history, also where a later commit took it out. Keys are put together here."""

import subprocess
from pathlib import Path

import pytest
from hack.secrets_scan import secrets

TAIL = "Zq7Lm2Xv9Rt4Yc8Pw3Kd6Bn5Hs1Gf0Jx7Tz4Vr2Qm9Lc6Wy3Np8Kb5Dg1Fh"
KEYS = {
    "Anthropic": "sk-ant-" + f"api03-{TAIL}",
    "OpenAI": "sk-" + f"proj-{TAIL}",
    "Google": "AI" + f"za{TAIL[:35]}",
    "GitHub": "gh" + f"p_{TAIL[:36]}",
    "AWS": "AK" + "IAQ7LM2XV9RT4YC8PW",
    "PEM": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "a run": "dw" + "k-3f2a9c1e-7b4d-4e8a-9c6f-1d2b3a4c5e6f-2-9a8c7e6d5b4f3a2c1e0d9b8c7a6f5e4d",
}


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    return tmp_path


def commit(repository: Path, text: str) -> None:
    (repository / "settings.py").write_text(text)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "change")


@pytest.mark.parametrize("kind", KEYS)
def test_a_planted_key_is_found_even_when_it_is_gone_again(repository: Path, kind: str) -> None:
    commit(repository, f'KEY = "{KEYS[kind]}"\n')
    commit(repository, "KEY = os.environ[NAME]\n")
    found = list(secrets(repository))
    assert found
    assert {each.path for each in found} == {"settings.py"}


@pytest.mark.parametrize(
    "line",
    ['KEY = os.environ["ANTHROPIC_API_KEY"]', 'KEY = "sk-ant-of-a-provider"', 'MASTER = b"a-master-key-for-tests-only"',
     f'KEY = "{KEYS["OpenAI"]}"  # pragma: allowlist ' + "secret"],
)  # fmt: skip
def test_names_and_made_up_keys_are_none(repository: Path, line: str) -> None:
    commit(repository, line + "\n")
    assert not list(secrets(repository))
