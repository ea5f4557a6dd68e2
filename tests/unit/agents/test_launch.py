"""A launch points each CLI at our gateway, keeps it quiet, lowers its retries, and passes the prompt untouched."""

import json
import tomllib
from typing import Any

import pytest

from droveway.agents import dialect_towards, launch, speaks
from droveway.api.enums import Access, Cli, Dialect
from droveway.api.errors import UserMustAct
from droveway.core.launch import LaunchRequest

GATEWAY = "http://droveway-gateway.droveway:8099"
PROMPT = "--fix the 'bug' in $(MODEL)\nand ${HOME}; $(rm -rf /)"
NATIVE = {Cli.CLAUDE: Dialect.ANTHROPIC, Cli.CODEX: Dialect.OPENAI_RESPONSES, Cli.GEMINI: Dialect.GEMINI}


def request(cli: Cli, dialect: Dialect | None = None, **changes: Any) -> LaunchRequest:
    fields: dict[str, Any] = {
        "cli": cli,
        "dialect": dialect or NATIVE.get(cli, Dialect.OPENAI_CHAT),
        "access": Access.GATEWAY,
        "model": "acme/model-1",
        "url": GATEWAY,
        "prompt": PROMPT,
        "command": ("agent", "--task", "$(PROMPT)", "--model=$(MODEL)") if cli is Cli.CUSTOM else (),
    }
    return LaunchRequest(**fields | changes)


OFFICIAL = [cli for cli in Cli if cli is not Cli.CUSTOM]


@pytest.mark.parametrize("cli", OFFICIAL)
def test_a_literal_prompt_is_one_argument_after_the_users_own(cli: Cli) -> None:
    made = launch(request(cli, args=("--extra", "1")))

    assert made.argv[0] == cli
    assert made.argv[-1].removeprefix("--prompt=").removeprefix("\n") == PROMPT
    assert made.argv.index("--extra") < len(made.argv) - 2
    assert made.stdin is None


@pytest.mark.parametrize("cli", OFFICIAL)
def test_a_prompt_file_is_standard_input_and_never_an_argument(cli: Cli) -> None:
    made = launch(request(cli, prompt=None, prompt_file="/droveway/prompt/text"))

    assert made.stdin == "/droveway/prompt/text"
    assert "/droveway/prompt/text" not in made.argv


@pytest.mark.parametrize("cli", [*OFFICIAL, Cli.CUSTOM])
def test_the_gateway_and_the_model_are_named_and_the_key_is_not(cli: Cli) -> None:
    made = launch(request(cli))
    everything = json.dumps([made.argv, made.env, made.files])

    assert GATEWAY in everything
    assert "acme/model-1" in everything
    assert made.key_env
    assert made.login_env is None
    assert not set(made.key_env) & dict(made.env).keys()


def test_claude_finds_the_gateway_in_its_environment() -> None:
    env = dict(launch(request(Cli.CLAUDE)).env)

    assert env["ANTHROPIC_BASE_URL"] == GATEWAY
    assert env["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] == "1"
    assert int(env["CLAUDE_CODE_MAX_RETRIES"]) < 10


def test_claude_with_its_own_login_talks_to_its_vendor_as_it_always_does() -> None:
    made = launch(request(Cli.CLAUDE, access=Access.DIRECT, url=""))

    assert made.login_env == "CLAUDE_CODE_OAUTH_TOKEN"
    assert made.key_env == ()
    assert "ANTHROPIC_BASE_URL" not in dict(made.env)
    assert "CLAUDE_CODE_MAX_RETRIES" not in dict(made.env)  # nobody else retries for it


def test_claude_with_its_own_login_can_be_sent_to_a_test_endpoint() -> None:
    made = launch(request(Cli.CLAUDE, access=Access.DIRECT, url="http://mock:9100"))

    assert dict(made.env)["ANTHROPIC_BASE_URL"] == "http://mock:9100"


def test_codex_reads_a_file() -> None:
    made = launch(request(Cli.CODEX, model='odd "name"'))
    config = tomllib.loads(dict(made.files)[".codex/config.toml"])
    provider = config["model_providers"][config["model_provider"]]

    assert config["model"] == 'odd "name"'
    assert provider["base_url"] == f"{GATEWAY}/v1"
    assert provider["wire_api"] == "responses"
    assert provider["env_key"] in made.key_env
    assert provider["request_max_retries"] < 4
    assert provider["stream_max_retries"] < 5


@pytest.mark.parametrize(
    ("dialect", "adapter"),
    [
        (Dialect.OPENAI_CHAT, "@ai-sdk/openai-compatible"),
        (Dialect.ANTHROPIC, "@ai-sdk/anthropic"),
        (Dialect.OPENAI_RESPONSES, "@ai-sdk/openai"),
    ],
)
def test_opencode_is_configured_for_each_of_its_dialects(dialect: Dialect, adapter: str) -> None:
    made = launch(request(Cli.OPENCODE, dialect))
    config = json.loads(dict(made.env)["OPENCODE_CONFIG_CONTENT"])
    provider = config["provider"]["droveway"]

    assert config["model"] == config["small_model"] == "droveway/acme/model-1"
    assert provider["npm"] == adapter
    assert provider["options"]["baseURL"] == f"{GATEWAY}/v1"
    assert provider["options"]["apiKey"] == f"{{env:{made.key_env[0]}}}"


def test_gemini_does_not_start_itself_again_and_logs_in_with_a_key() -> None:
    made = launch(request(Cli.GEMINI))
    env, settings = dict(made.env), json.loads(dict(made.files)[".gemini/settings.json"])

    assert env["GOOGLE_GEMINI_BASE_URL"] == GATEWAY
    assert env["GEMINI_CLI_NO_RELAUNCH"] == "true"
    assert settings["security"]["auth"]["selectedType"] == "gemini-api-key"
    assert settings["general"]["maxAttempts"] < 10
    assert made.key_env == ("GEMINI_API_KEY",)


@pytest.mark.parametrize(
    ("dialect", "protocol", "url"),
    [
        (Dialect.OPENAI_CHAT, "openai", f"{GATEWAY}/v1"),
        (Dialect.OPENAI_RESPONSES, "openai-responses", f"{GATEWAY}/v1"),
        (Dialect.GEMINI, "gemini", GATEWAY),
    ],
)
def test_qwen_knows_one_model_and_asks_nobody_else(dialect: Dialect, protocol: str, url: str) -> None:
    made = launch(request(Cli.QWEN, dialect))
    settings = json.loads(dict(made.files)[".qwen/settings.json"])
    ((found, (model,)),) = settings["modelProviders"].items()

    assert found == settings["security"]["auth"]["selectedType"] == made.argv[made.argv.index("--auth-type") + 1]
    assert found == protocol
    assert model["id"] == settings["model"]["name"] == "acme/model-1"
    assert model["baseUrl"] == url
    assert model["envKey"] in made.key_env
    assert settings["privacy"]["usageStatisticsEnabled"] is settings["telemetry"]["enabled"] is False
    assert dict(made.env)["QWEN_CODE_NO_RELAUNCH"] == "true"


@pytest.mark.parametrize(
    ("dialect", "api", "url"),
    [
        (Dialect.OPENAI_CHAT, "openai-completions", f"{GATEWAY}/v1"),
        (Dialect.OPENAI_RESPONSES, "openai-responses", f"{GATEWAY}/v1"),
        (Dialect.ANTHROPIC, "anthropic-messages", GATEWAY),
        (Dialect.GEMINI, "google-generative-ai", f"{GATEWAY}/v1beta"),
    ],
)
def test_pi_knows_one_provider_and_stays_off_the_net(dialect: Dialect, api: str, url: str) -> None:
    made = launch(request(Cli.PI, dialect))
    files = {path: json.loads(content) for path, content in made.files}
    ((name, provider),) = files[".pi/agent/models.json"]["providers"].items()

    assert made.argv[made.argv.index("--provider") + 1] == name
    assert (provider["api"], provider["baseUrl"]) == (api, url)
    assert (provider["apiKey"],) == made.key_env
    assert [model["id"] for model in provider["models"]] == ["acme/model-1"]
    assert files[".pi/agent/settings.json"]["retry"]["maxRetries"] < 3
    assert dict(made.env)["PI_OFFLINE"] == "1"


@pytest.mark.parametrize("prompt", ["-v", "--help", "@secrets", "-"])
def test_pi_takes_no_prompt_for_an_option_or_a_file(prompt: str) -> None:
    assert launch(request(Cli.PI, prompt=prompt)).argv[-1] == f"\n{prompt}"
    assert launch(request(Cli.PI, prompt=f"do {prompt}")).argv[-1] == f"do {prompt}"


@pytest.mark.parametrize(
    ("dialect", "kind", "wire", "url"),
    [
        (Dialect.OPENAI_CHAT, "openai", "completions", f"{GATEWAY}/v1"),
        (Dialect.OPENAI_RESPONSES, "openai", "responses", f"{GATEWAY}/v1"),
        (Dialect.ANTHROPIC, "anthropic", "completions", GATEWAY),
    ],
)
def test_copilot_is_offline_with_a_provider_of_ones_own(dialect: Dialect, kind: str, wire: str, url: str) -> None:
    made = launch(request(Cli.COPILOT, dialect))
    env = dict(made.env)

    assert env["COPILOT_OFFLINE"] == "true"
    assert (env["COPILOT_PROVIDER_TYPE"], env["COPILOT_PROVIDER_WIRE_API"]) == (kind, wire)
    assert env["COPILOT_PROVIDER_BASE_URL"] == url
    assert env["COPILOT_MODEL"] == "acme/model-1"
    assert made.key_env == ("COPILOT_PROVIDER_API_KEY",)


@pytest.mark.parametrize(
    ("dialect", "variable", "url", "key"),
    [
        (Dialect.ANTHROPIC, "ANTHROPIC_BASE_URL", GATEWAY, "ANTHROPIC_API_KEY"),
        (Dialect.OPENAI_CHAT, "OPENAI_BASE_URL", f"{GATEWAY}/v1", "OPENAI_API_KEY"),
        (Dialect.OPENAI_RESPONSES, "OPENAI_BASE_URL", f"{GATEWAY}/v1", "OPENAI_API_KEY"),
        (Dialect.GEMINI, "GOOGLE_GEMINI_BASE_URL", GATEWAY, "GEMINI_API_KEY"),
    ],
)
def test_a_custom_agent_finds_the_gateway_where_most_programs_look(
    dialect: Dialect, variable: str, url: str, key: str
) -> None:
    made = launch(request(Cli.CUSTOM, dialect))

    assert dict(made.env) == {"DROVEWAY_GATEWAY_URL": GATEWAY, variable: url}
    assert made.key_env == ("DROVEWAY_API_KEY", key)


def test_a_custom_command_gets_prompt_and_model_and_a_prompt_is_not_read_again() -> None:
    made = launch(request(Cli.CUSTOM, args=("$(MODEL):$(PROMPT)",)))

    assert made.argv == ("agent", "--task", PROMPT, "--model=acme/model-1", f"acme/model-1:{PROMPT}")


def test_a_custom_command_without_a_place_for_the_prompt_reads_the_file() -> None:
    made = launch(request(Cli.CUSTOM, command=("agent",), prompt=None, prompt_file="/droveway/prompt/text"))

    assert made.stdin == dict(made.env)["DROVEWAY_PROMPT_FILE"] == "/droveway/prompt/text"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (request(Cli.CLAUDE, Dialect.OPENAI_CHAT), "claude does not speak OpenAIChat.*Anthropic"),
        (request(Cli.CODEX, Dialect.OPENAI_CHAT), "OpenAIResponses"),
        (request(Cli.GEMINI, Dialect.ANTHROPIC), "Gemini"),
        (request(Cli.OPENCODE, Dialect.GEMINI), "opencode does not speak Gemini"),
        (request(Cli.QWEN, Dialect.ANTHROPIC), "qwen does not speak Anthropic.*Gemini, OpenAIChat, OpenAIResponses"),
        (request(Cli.COPILOT, Dialect.GEMINI), "copilot does not speak Gemini"),
        *((request(cli, access=Access.DIRECT), "use access Gateway") for cli in OFFICIAL if cli is not Cli.CLAUDE),
        (request(Cli.CUSTOM, access=Access.DIRECT), "use access Gateway"),
        (request(Cli.CUSTOM, command=()), r"spec\.command"),
        (request(Cli.CUSTOM, prompt=None, prompt_file="/p"), "standard input"),
        (request(Cli.CLAUDE, prompt=None), "no prompt"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_started_says_what_to_do(wrong: LaunchRequest, says: str) -> None:
    with pytest.raises(UserMustAct, match=says):
        launch(wrong)


@pytest.mark.parametrize("provider", list(Dialect))
@pytest.mark.parametrize("cli", list(Cli))
def test_in_front_of_any_provider_each_speaks_something_it_knows(cli: Cli, provider: Dialect) -> None:
    spoken = dialect_towards(cli, provider)

    assert spoken in speaks(cli)
    assert spoken is provider or provider not in speaks(cli)


def test_each_cli_can_be_launched_in_every_dialect_it_speaks() -> None:
    assert {(cli, d) for cli in Cli for d in speaks(cli) if launch(request(cli, d)).argv} == {
        (cli, d) for cli in Cli for d in speaks(cli)
    }
