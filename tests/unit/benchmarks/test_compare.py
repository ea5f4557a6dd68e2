"""The comparison of two benchmark runs notices a planted slowdown, and forgives noise."""

import json
from pathlib import Path

import pytest
from benchmarks import compare

BASE = {
    "droveway / floor closed json cpu": 1.9,
    "droveway / floor closed stream cpu": 1.6,
    "litellm / droveway closed json cpu": 15.0,
}


def written(folder: Path, name: str, ratios: dict[str, float]) -> str:
    path = folder / name
    path.write_text(json.dumps({"ratios": ratios, "figures": {"droveway closed json cpu ms": 99.0}}))
    return str(path)


@pytest.mark.parametrize(
    ("after", "code"),
    [
        pytest.param(BASE, 0, id="the same"),
        pytest.param({name: value * 1.15 for name, value in BASE.items()}, 0, id="noise"),
        pytest.param(BASE | {"droveway / floor closed json cpu": 3.8}, 1, id="twice the cost of a request"),
        pytest.param(BASE | {"droveway / floor closed stream cpu": 3.2}, 1, id="twice the cost of a stream"),
        pytest.param(BASE | {"litellm / droveway closed json cpu": 7.5}, 1, id="half as far ahead"),
        pytest.param({name: BASE[name] for name in list(BASE)[1:]}, 1, id="one is not measured any more"),
        pytest.param({name: BASE[name] for name in list(BASE)[:2]}, 0, id="without the opponent"),
        pytest.param({name: value / 2 if name[0] == "d" else value * 2 for name, value in BASE.items()}, 0, id="twice as fast"),
    ],
)  # fmt: skip
def test_slower_runs_fail(tmp_path: Path, after: dict[str, float], code: int) -> None:
    assert compare.main([written(tmp_path, "a", BASE), written(tmp_path, "b", after)]) == code


def test_an_empty_baseline_is_no_baseline(tmp_path: Path) -> None:
    assert compare.main([written(tmp_path, "a", {}), written(tmp_path, "b", BASE)]) == 1


def test_it_says_what_and_by_how_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = BASE | {"droveway / floor closed json cpu": 3.8}
    compare.main([written(tmp_path, "a", BASE), written(tmp_path, "b", after)])
    assert "droveway / floor closed json cpu: was 1.9, is 3.8: 2.00 times worse" in capsys.readouterr().err
