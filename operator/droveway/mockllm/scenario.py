"""Which scenario a call plays: parsed from its address, its key or its model, then moved on by count and clock."""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, Self

_BEHAVIOURS = ("ok", "tool", "slow", "hang", "disconnect", "stream_error", "html", "max_tokens", "refusal")
_ERRORS = ("rate_limit", "usage_limit", "billing", "overloaded", "auth", "context", "model_404", "server_error")
SCENARIOS = frozenset((*_BEHAVIOURS, *_ERRORS))
Api = Literal["anthropic", "chat", "responses", "gemini"]
Json = dict[str, Any]

_WRITERS = (
    "Write",
    "write",
    "run_shell_command",
    "exec_command",
    "shell_command",
    "shell",
    "bash",
    "Bash",
    "write_file",
)
_TOOL_ANSWERED = re.compile(
    r'"(tool_result|function_call_output|custom_tool_call_output|functionResponse)"|"role": "tool"'
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario's name with its knobs."""

    name: str
    knobs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `name,knob=value,…`; an unknown name is `ok`."""
        name, *rest = text.split(",")
        return cls(name if name in SCENARIOS else "ok", dict(knob.split("=", 1) for knob in rest if "=" in knob))

    def played(self, name: str, **knobs: str) -> Self:
        """The same knobs under another name."""
        return type(self)(name if name in SCENARIOS else "ok", self.knobs | knobs)

    def number(self, knob: str, default: float) -> float:
        """The value of a knob, or what it is when not given."""
        return float(self.knobs.get(knob, default))

    @property
    def run(self) -> str:
        """Whose calls are counted together."""
        return self.knobs.get("run", "-")


class Stage:
    """Where each run stands: how many calls it made, and until when its window lasts."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._reset: dict[str, float] = {}

    def next(self, scenario: Scenario, now: float) -> Scenario:
        """What the next call of this scenario's run gets at `now` (epoch seconds)."""
        self._seen[scenario.run] += 1
        count = self._seen[scenario.run]
        if count <= scenario.number("skip", 0):
            return scenario.played(scenario.knobs.get("before", "ok"))
        if count > scenario.number("fail", math.inf):
            return scenario.played("ok")
        if count % scenario.number("every", 1):
            return scenario.played("ok")
        if "window" not in scenario.knobs:
            return scenario
        left = self._reset.setdefault(scenario.run, now + scenario.number("window", 0)) - now
        if left <= 0:
            return scenario.played("ok")
        until = str(math.ceil(left))
        return scenario.played(scenario.name, resets_in=until, retry_after=until)


@dataclass(frozen=True, slots=True)
class Call:
    """What it takes to answer: the API, the scenario, the parsed body, and the time (epoch seconds)."""

    api: Api
    scenario: Scenario
    body: Json
    model: str
    stream: bool
    now: int

    def tools(self) -> list[tuple[str, Json]]:
        """Calls of the client's tool that writes a file: its name and arguments for it; none once a result came back."""
        if self.scenario.name != "tool" or _TOOL_ANSWERED.search(json.dumps(self.body)):
            return []
        offered = dict(_offered(self.body.get("tools") or []))
        found = [(name, _arguments(offered[name])) for name in _WRITERS if name in offered]
        return found[:1] * round(self.scenario.number("calls", 1))


def _offered(tools: list[Json]) -> list[tuple[str, Json]]:
    """Name and properties of each tool, however the API nests them."""
    functions = [f for t in tools for f in t.get("functionDeclarations") or t.get("tools") or [t.get("function") or t]]
    return [(f["name"], _schema(f).get("properties", {})) for f in functions if "name" in f]


def _schema(function: Json) -> Json:
    names = ("input_schema", "parameters", "parametersJsonSchema", "parameters_json_schema")
    return next((function[name] for name in names if function.get(name)), {})


def _arguments(properties: Json) -> Json:
    """Arguments for a tool that writes a file or runs a command, from the names of its properties."""
    line = "echo 'written by a mock tool call' > mock.txt"
    known = {
        **dict.fromkeys(("file_path", "filePath", "path", "absolute_path"), "mock.txt"),
        **dict.fromkeys(("command", "cmd"), line),
        "content": "written by a mock tool call\n",
        "description": "write a file",
    }
    as_list = {name for name, schema in properties.items() if schema.get("type") == "array"}
    return {
        name: ["bash", "-lc", line] if name in as_list and known[name] == line else known[name]
        for name in properties
        if name in known
    }
