"""The real wrapper under real shells, with real processes."""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

WRAPPER = Path(__file__).parents[2] / "operator/droveway/sidecar/wrapper"
PATIENCE = 30  # seconds: only a hang reaches it

IS_READY = ': >"$TMPDIR/ready"'
UNTIL_READY = 'while [ ! -e "$TMPDIR/ready" ]; do sleep 0.05; done'
"""How a child of an agent tells its parent that it may go on."""


@dataclass
class Box:
    """The agent's container as the wrapper sees it."""

    shell: tuple[str, ...]
    root: Path
    env: dict[str, str]

    @property
    def stream(self) -> Path:
        return self.root / "stream"

    def command(self, *argv: str) -> list[str]:
        return [*self.shell, str(WRAPPER), *argv]

    def start(self, *argv: str, **env: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command(*argv), env=self.env | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *argv: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.command(*argv), env=self.env | env, capture_output=True, timeout=PATIENCE, check=False
        )

    def printed(self, name: str) -> bytes:
        """What the segments of a stream hold together."""
        return b"".join(path.read_bytes() for path in self.segments(name))

    def segments(self, name: str) -> list[Path]:
        return sorted(self.stream.glob(f"{name}.*"), key=lambda path: int(path.suffix[1:]))

    @property
    def exit(self) -> str:
        return (self.stream / "exit").read_text()

    @property
    def termination(self) -> str:
        return (self.root / "termination-log").read_text()


@pytest.fixture(scope="session")
def busybox_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which there is nothing but busybox."""
    if not shutil.which("busybox"):
        pytest.skip("busybox is not installed")
    folder = tmp_path_factory.mktemp("busybox")
    subprocess.run(["busybox", "--install", "-s", str(folder)], check=True)
    return str(folder)


@pytest.fixture(params=["dash", "bash", "bash --posix", "busybox sh"])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Box:
    shell = tuple(request.param.split())
    path = os.environ["PATH"]
    if shell[0] == "busybox":
        path = request.getfixturevalue("busybox_path")
        shell = (f"{path}/sh",)
    elif not shutil.which(shell[0]):
        pytest.skip(f"{shell[0]} is not installed")
    return make_box(shell, tmp_path, path)


@pytest.fixture
def dash(tmp_path: Path) -> Box:
    """For what does not depend on the shell: the one that most images call sh."""
    return make_box(("/bin/sh",), tmp_path, os.environ["PATH"])


def make_box(shell: tuple[str, ...], root: Path, path: str) -> Box:
    for name in ("stream", "run", "tmp"):
        (root / name).mkdir()
    (root / "termination-log").touch()
    (root / "run/key").write_text("dwk-uid-1-abc")
    return Box(
        shell,
        root,
        {
            "PATH": path,
            "TMPDIR": str(root / "tmp"),
            "DROVEWAY_STREAM_DIR": str(root / "stream"),
            "DROVEWAY_RUN_DIR": str(root / "run"),
            "DROVEWAY_TERMINATION_LOG": str(root / "termination-log"),
            "DROVEWAY_GRACE_SECONDS": "1",
        },
    )


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that waits for a lazy init does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def first_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout
    return process.stdout.readline().decode().strip()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param("exit 0", 0, id="success"),
        pytest.param("exit 3", 3, id="failure"),
        pytest.param("exit 173", 173, id="an HTTP status modulo 256"),
        pytest.param("exit 127", 127, id="as if not found"),
        pytest.param("kill -TERM $$", 143, id="ended by TERM"),
        pytest.param("kill -KILL $$", 137, id="ended by KILL"),
    ],
)
def test_the_exit_code_is_the_agents(box: Box, script: str, code: int) -> None:
    assert box.run("sh", "-c", script).returncode == code
    assert box.exit == f"{code}\n"


def test_what_is_printed_goes_to_the_log_and_to_the_files(box: Box) -> None:
    done = box.run("sh", "-c", "echo out; echo err >&2; printf 'no end'")
    assert (done.stdout, done.stderr) == (b"out\nno end", b"err\n")
    assert (box.printed("stdout"), box.printed("stderr")) == (b"out\nno end", b"err\n")
    assert not list((box.root / "tmp").iterdir())


def test_a_line_is_in_the_file_as_soon_as_it_is_printed(box: Box) -> None:
    process = box.start("sh", "-c", "echo one; cat >/dev/null; sleep 60")
    assert first_line(process) == "one"
    while box.printed("stdout") != b"one\n":
        time.sleep(0.02)
    process.terminate()
    process.communicate(timeout=PATIENCE)


def test_arguments_arrive_as_they_are(box: Box) -> None:
    words = ["a b", "*", "$HOME", "'q\"", "", "new\nline", "-n"]
    done = box.run("sh", "-c", 'for a; do printf "[%s]" "$a"; done', "name", *words)
    assert done.stdout.decode() == "".join(f"[{word}]" for word in words)


def test_the_run_key_gets_the_names_that_the_cli_reads(box: Box) -> None:
    done = box.run("sh", "-c", 'echo "$A_KEY $B_TOKEN"', DROVEWAY_KEY_ENV="A_KEY B_TOKEN")
    assert done.stdout == b"dwk-uid-1-abc dwk-uid-1-abc\n"


def test_without_a_run_key_nothing_starts(box: Box) -> None:
    (box.root / "run/key").unlink()
    done = box.run("sh", "-c", "echo started", DROVEWAY_KEY_ENV="A_KEY")
    assert (done.returncode, done.stdout) == (127, b"")
    assert "run key" in box.termination


def test_standard_input_is_empty_or_the_given_file(box: Box) -> None:
    prompt = box.root / "prompt"
    prompt.write_text("do it\n")
    assert box.run("cat").stdout == b""
    assert box.run("cat", DROVEWAY_STDIN="").stdout == b""
    assert box.run("cat", DROVEWAY_STDIN=str(prompt)).stdout == b"do it\n"


def test_a_missing_input_file_is_named(box: Box) -> None:
    done = box.run("cat", DROVEWAY_STDIN="/nowhere/prompt")
    assert done.returncode == 127
    assert "/nowhere/prompt" in box.termination


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_whole_group(box: Box, number: signal.Signals) -> None:
    """As with gemini, qwen and copilot: the main process ends or not, its child lives on unless it is signalled."""
    process = box.start("sh", "-c", "sh -c 'echo $$; while :; do sleep 1; done'; exit 0")
    child = int(first_line(process))
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
    assert gone(child)
    assert process.returncode == 143
    assert box.exit == "143\n"


def test_an_agent_may_say_goodbye_and_is_told_once(box: Box) -> None:
    wait = "while [ -z $over ]; do sleep 0.05; done; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.1; done; exit 7"
    process = box.start("sh", "-c", f"trap 'echo bye; over=1' TERM; echo ready; {wait}", DROVEWAY_GRACE_SECONDS="20")
    assert first_line(process) == "ready"
    process.terminate()
    out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (7, b"bye\n")
    assert box.printed("stdout") == b"ready\nbye\n"


def test_an_agent_that_ignores_the_signal_is_killed(box: Box) -> None:
    process = box.start("sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.05; done")
    main = int(first_line(process))
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 137
    assert gone(main)


def test_children_do_not_outlive_the_agent(box: Box) -> None:
    """A grandchild that ignores TERM and holds the output open neither survives nor changes the exit code."""
    script = f"sh -c 'trap \"\" TERM; echo $$; {IS_READY}; while :; do sleep 0.05; done' & {UNTIL_READY}; exit 5"
    process = box.start("sh", "-c", script)
    child = int(first_line(process))
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 5
    assert gone(child)
    assert box.exit == "5\n"


def test_a_process_of_another_session_does_not_hold_up_the_end(box: Box) -> None:
    process = box.start("sh", "-c", f"setsid sh -c 'echo $$; {IS_READY}; exec sleep 60' & {UNTIL_READY}; exit 4")
    stranger = int(first_line(process))
    try:
        assert process.wait(timeout=PATIENCE) == 4
        assert box.exit == "4\n"
    finally:
        os.kill(stranger, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)


def test_the_exit_code_is_told_when_the_last_byte_is_in_the_files(box: Box) -> None:
    """The log's reader is slow, so the output is still on its way when the agent has ended."""
    size = 150_000
    script = f"dd if=/dev/zero bs={size} count=1 2>/dev/null; echo gone >&2"
    process = box.start("sh", "-c", script, DROVEWAY_GRACE_SECONDS="20")
    assert process.stdout
    assert process.stderr
    assert process.stderr.readline() == b"gone\n"
    time.sleep(0.3)
    assert not (box.stream / "exit").exists()
    assert len(process.stdout.read()) == size
    process.communicate(timeout=PATIENCE)
    assert box.exit == "0\n"
    assert len(box.printed("stdout")) == size


def test_a_signal_in_the_first_moments_is_not_lost(box: Box) -> None:
    for delay in (0.0, 0.01, 0.02, 0.03, 0.05):
        process = box.start("sleep", "60")
        time.sleep(delay)
        process.terminate()
        process.communicate(timeout=PATIENCE)
        assert process.returncode in (143, -signal.SIGTERM)  # the latter: before the wrapper's first line


def test_output_is_bounded_and_its_end_is_kept(box: Box) -> None:
    limit = 1024 * 1024
    done = box.run(
        "sh",
        "-c",
        "dd if=/dev/zero bs=65536 count=320 2>/dev/null; echo last",
        DROVEWAY_STREAM_LIMIT_BYTES=str(limit),
    )
    assert done.returncode == 0
    assert len(done.stdout) == 320 * 65536 + len("last\n")
    kept = box.printed("stdout")
    assert kept.endswith(b"last\n")
    assert limit / 2 < len(kept) <= limit * 18 // 16
    assert box.segments("stdout")[0].name != "stdout.1"


def test_a_very_long_line_passes(box: Box) -> None:
    size = 10 * 1024 * 1024
    done = box.run("sh", "-c", f"dd if=/dev/zero bs={size} count=1 2>/dev/null; echo")
    assert done.stdout == bytes(size) + b"\n"
    assert box.printed("stdout") == done.stdout


def test_without_a_place_for_the_files_the_agent_goes_on(box: Box) -> None:
    shutil.rmtree(box.stream)
    done = box.run("sh", "-c", "dd if=/dev/zero bs=1024 count=9000 2>/dev/null; echo last; exit 6")
    assert done.returncode == 6
    assert done.stdout == bytes(9000 * 1024) + b"last\n"


def test_a_full_disk_does_not_stop_the_agent(box: Box) -> None:
    in_namespace("--mount")
    script = f'mount -t tmpfs -o size=64k none {box.stream} && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    agent = ("sh", "-c", "dd if=/dev/zero bs=1024 count=9000 2>/dev/null; echo last; exit 6")
    done = subprocess.run(
        [*command, *box.command(*agent)],
        env=box.env | {"PATH": f"{box.env['PATH']}:/usr/bin:/bin", "DROVEWAY_STREAM_LIMIT_BYTES": "1048576"},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 6
    assert done.stdout == bytes(9000 * 1024) + b"last\n"


def test_a_closed_log_does_not_stop_the_agent(box: Box) -> None:
    process = box.start("sh", "-c", "echo one; sleep 0.3; echo two; echo three; exit 8")
    assert first_line(process) == "one"
    assert process.stdout
    process.stdout.close()
    assert process.wait(timeout=PATIENCE) == 8
    assert box.printed("stdout") == b"one\ntwo\nthree\n"
    assert process.stderr
    process.stderr.close()


def test_an_image_without_setsid_is_told_of_it(dash: Box) -> None:
    tools = dash.root / "bin"
    tools.mkdir()
    for name in ("sh", "tee", "mv", "cat"):
        (tools / name).symlink_to(str(shutil.which(name)))
    done = dash.run("sh", "-c", "echo started", PATH=str(tools))
    message = "droveway: setsid is missing in this image; install util-linux or busybox\n"
    assert (done.returncode, done.stdout, done.stderr.decode()) == (127, b"", message)
    assert dash.termination == message
    assert dash.exit == "127\n"
    assert dash.printed("stderr").decode() == message


@pytest.mark.parametrize("argv", ["no-such-agent", "/opt/agents/no-such-agent"])
def test_a_missing_agent_is_named(box: Box, argv: str) -> None:
    done = box.run(argv, "-p", "x")
    assert done.returncode == 127
    assert box.termination.startswith(f"droveway: {argv} is not in this image")
    assert box.exit == "127\n"


def test_the_agent_can_be_interrupted_where_env_can_say_so(dash: Box) -> None:
    """A shell starts background jobs with INT ignored; tools of an agent want to interrupt what they start."""
    done = dash.run("grep", "SigIgn", "/proc/self/status")
    ignored = int(done.stdout.split()[1], 16)
    assert not ignored & (1 << (signal.SIGINT - 1))
    assert not ignored & (1 << (signal.SIGQUIT - 1))
    assert not ignored & (1 << (signal.SIGPIPE - 1))


def in_namespace(*kinds: str) -> None:
    tried = subprocess.run(["unshare", "--user", "--map-root-user", *kinds, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"no namespaces here: {tried.stderr.decode().strip()}")


@pytest.fixture
def as_pid_1(box: Box) -> Box:
    in_namespace("--pid", "--fork", "--mount-proc")
    box.shell = (
        str(shutil.which("unshare")), "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc",
        str(shutil.which(box.shell[0])), *box.shell[1:],
    )  # fmt: skip
    return box


def test_pid_1_leaves_no_zombies(as_pid_1: Box) -> None:
    script = """
        for i in 1 2 3 4 5 6 7 8 9; do sh -c 'sleep 0.1 & exit 0'; done
        sleep 1
        grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null
        echo none
    """
    done = as_pid_1.run("sh", "-c", script)
    assert done.stdout == b"none\n"


def test_pid_1_also_ends_what_left_the_group(as_pid_1: Box) -> None:
    """Some CLIs start their tools in sessions of their own; these get the signal too, and the output is complete."""
    stranger = f'trap "echo told; exit" TERM; echo ready; {IS_READY}; while :; do sleep 0.05; done'
    script = f"setsid sh -c '{stranger}' & {UNTIL_READY}; exit 4"
    process = as_pid_1.start("sh", "-c", script, DROVEWAY_GRACE_SECONDS="20")
    process.communicate(timeout=15)  # less than the grace: nothing had to be waited for
    assert process.returncode == 4
    assert as_pid_1.printed("stdout") == b"ready\ntold\n"


def test_pid_1_passes_a_signal_on(as_pid_1: Box) -> None:
    process = as_pid_1.start("sh", "-c", "echo ready; sleep 60")
    assert first_line(process) == "ready"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert as_pid_1.exit == "143\n"
