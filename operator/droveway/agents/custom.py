"""Any other program: it is started as its Agent says, and judged by its exit code alone."""

from datetime import datetime

from droveway.agents.evidence import died_by_signal
from droveway.agents.stream import Outcome
from droveway.api.enums import Dialect, EndClass
from droveway.api.errors import UserMustAct
from droveway.core.completion import CompletionEvent
from droveway.core.launch import Launch, LaunchRequest
from droveway.core.utilization import Reading
from droveway.core.verdict import Verdict

_PROMPT = "$(PROMPT)"
_USUAL = {
    Dialect.ANTHROPIC: ("ANTHROPIC_BASE_URL", "", "ANTHROPIC_API_KEY"),
    Dialect.OPENAI_CHAT: ("OPENAI_BASE_URL", "/v1", "OPENAI_API_KEY"),
    Dialect.OPENAI_RESPONSES: ("OPENAI_BASE_URL", "/v1", "OPENAI_API_KEY"),
    Dialect.GEMINI: ("GOOGLE_GEMINI_BASE_URL", "", "GEMINI_API_KEY"),
}
"""Variables by which most programs find an endpoint of a dialect, and what they expect after its host."""


def launch(request: LaunchRequest) -> Launch:
    """`$(PROMPT)` and `$(MODEL)` are replaced; a prompt in a file is also the program's standard input.

    Raises:
        UserMustAct: there is no command, or it wants a prompt in its arguments that is in a file.
    """
    words = (*request.command, *request.args)
    if not words:
        raise UserMustAct("an agent with cli custom needs spec.command")
    if request.prompt is None and any(_PROMPT in word for word in words):
        raise UserMustAct(
            "the prompt comes from a file, so $(PROMPT) cannot hold it: "
            "let the command read its standard input, or the file named by DROVEWAY_PROMPT_FILE"
        )
    url_env, path, key_env = _USUAL[request.dialect]
    env = [("DROVEWAY_GATEWAY_URL", request.url), (url_env, request.url.rstrip("/") + path)]
    if request.prompt_file is not None:
        env.append(("DROVEWAY_PROMPT_FILE", request.prompt_file))
    # The model first: a prompt may speak of `$(MODEL)`.
    argv = (word.replace("$(MODEL)", request.model).replace(_PROMPT, request.prompt or "") for word in words)
    return Launch(
        argv=tuple(argv),
        env=tuple(env),
        key_env=("DROVEWAY_API_KEY", key_env),
        stdin=request.prompt_file if request.prompt is None else None,
    )


class CustomParser:
    """Yields no completion: nothing is known of what the program prints."""

    session_id: str | None = None
    verdict: Verdict | None = None
    model = ""
    utilization: tuple[Reading, ...] = ()

    def feed(self, line: str, at: datetime) -> list[CompletionEvent]:
        """Nothing is read from it."""
        del line, at
        return []

    def feed_stderr(self, line: str, at: datetime) -> None:
        """Nothing is read from it."""
        del line, at

    def finish(self, exit_code: int | None, at: datetime) -> Outcome:
        """0 is a success, a signal or an unknown code is Unknown, all else the agent's failure."""
        del at
        if exit_code == 0:
            return Outcome(success=True, end_class=EndClass.SUCCEEDED)
        unclear = exit_code is None or died_by_signal(exit_code)
        end_class = EndClass.UNKNOWN if unclear else EndClass.AGENT_FAILED
        said = "ended with an unknown exit code" if exit_code is None else f"ended with exit code {exit_code}"
        return Outcome(success=False, end_class=end_class, message=said)
