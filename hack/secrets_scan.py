"""secrets_scan.py [REPOSITORY]: no line that was ever added to the repository holds a key or a token. Exit code 1 when one does.

Every line that some commit added is looked at by detect-secrets, merges included. Its detectors of keys by their form are used,
not those by name or entropy, which see a secret in every word of a test; our own keys and the vendors' are added. Lines in which
a made-up key is meant end in `pragma: allowlist secret`; made-up keys of tests are recognised by what stands in them.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from detect_secrets.core.scan import scan_line
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).parents[1]
DETECTORS = ("AWSKeyDetector", "AzureStorageKeyDetector", "CloudantDetector", "DiscordBotTokenDetector", "GitHubTokenDetector",
             "GitLabTokenDetector", "JwtTokenDetector", "MailchimpDetector", "NpmDetector", "OpenAIDetector",
             "PrivateKeyDetector",
             "PypiTokenDetector", "SendGridDetector", "SlackDetector", "SquareOAuthDetector", "StripeDetector",
             "TelegramBotTokenDetector", "TwilioKeyDetector")  # fmt: skip
VENDORS = re.compile(
    r"sk-ant-(?:api|oat|sid)\d\d-[\w-]{40,}|sk-proj-[\w-]{40,}|sk-or-v1-[0-9a-f]{40,}|AIza[\w-]{35}|ya29\.[\w-]{40,}"
    r"|dwk-[0-9a-f-]{36}-\d+-[0-9a-f]{32}"
)
"""Provider keys, logins of agents and run keys."""
MADE_UP = re.compile(r"pragma: allowlist secret|EXAMPLE|(.)\1{7}|0123456789|abcdef", re.IGNORECASE)


class Found(NamedTuple):
    """A line that looks as if it held a secret."""

    commit: str
    path: str
    kind: str


def added(repository: Path) -> Iterator[tuple[str, str, str]]:
    """Commit, path and text of every line that was ever added."""
    how = ("--all", "-m", "-p", "-U0", "--no-color", "--no-ext-diff", "--format=commit %H")
    command = ["git", "-C", str(repository), "log", *how]
    commit = path = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", errors="replace") as log:
        assert log.stdout is not None
        for line in log.stdout:
            if line.startswith("commit ") and len(line) == 48:
                commit = line[7:19]
            elif line.startswith("+++ "):
                path = line[6:].rstrip()
            elif line.startswith("+"):
                yield commit, path, line[1:].rstrip("\n")


def secrets(repository: Path) -> Iterator[Found]:
    """Every line once."""
    seen: set[str] = set()
    with transient_settings({"plugins_used": [{"name": name} for name in DETECTORS]}):
        for commit, path, line in added(repository):
            if len(line) < 16 or line in seen or MADE_UP.search(line):
                continue
            seen.add(line)
            kinds = {secret.type for secret in scan_line(line)}
            if VENDORS.search(line):
                kinds.add("key of a vendor or a run")
            yield from (Found(commit, path, kind) for kind in sorted(kinds))


def main() -> int:
    repository = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    found = list(secrets(repository))
    for each in found:
        print(f"{each.commit} {each.path}: {each.kind}; if it is real, revoke it and take it out", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
