"""A real CLI, started as a pod would start it."""

import os
import signal
import subprocess
from pathlib import Path

from droveway.core.launch import Launch

BIN = Path(os.environ.get("DROVEWAY_CACHE", Path.home() / ".cache" / "droveway")) / "npm" / "node_modules" / ".bin"


def run_cli(how: Launch, folder: Path, run_key: str) -> tuple[int, str, str]:
    """In an environment as clean as the pod's, with the key where the wrapper would put it.

    Returns:
        Exit code, stdout and stderr; what it wrote is in `folder / "work"`.
    """
    home, work, tmp = (folder / name for name in ("home", "work", "tmp"))
    for made in (home, work, tmp):
        made.mkdir()
    for path, content in how.files:
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(content)
    env = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(home), "TMPDIR": str(tmp), **dict(how.env)}
    env["COPILOT_PKG_CACHE_HOME"] = str(BIN.parents[1] / "copilot")  # in the image it is unpacked already
    env |= dict.fromkeys(how.key_env, run_key)
    if how.login_env:
        env[how.login_env] = "sk-ant-oat01-mock"
    with Path(how.stdin or os.devnull).open() as stdin:
        process = subprocess.Popen(
            how.argv,
            env=env,
            cwd=work,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(timeout=180)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
    return process.returncode, stdout, stderr
