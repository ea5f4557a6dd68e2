"""A quota that is nearly spent: no new session begins there, those that are there stay, and alone it still works."""

from dataclasses import replace

import pytest

from droveway.api.enums import Strategy
from droveway.core.ranking import Preference
from droveway.core.routing import choose
from droveway.core.utilization import Reading
from helpers.operator import a_desk
from helpers.told import a_route, after, batch, completion

STRATEGY = pytest.mark.parametrize("strategy", [Strategy.PRIORITY, Strategy.WEIGHTED])


@STRATEGY
@pytest.mark.parametrize(
    ("used", "sticky", "chosen"),
    [
        pytest.param(89, None, {"a", "b"}, id="below the threshold"),
        pytest.param(90, None, {"b"}, id="no new session"),
        pytest.param(99, "a", {"a"}, id="one that is there stays"),
        pytest.param(99, "b", {"b"}, id="nor is one drawn to it"),
    ],
)
async def test_what_an_answer_tells_reaches_the_choice_of_runs(
    strategy: Strategy, used: int, sticky: str | None, chosen: set[str]
) -> None:
    desk = a_desk()
    reading = Reading("5h", used, after(3600), desk.now)
    await desk.ledgers.submit(batch(replace(completion(1), utilization=(reading,))))
    views = desk.ledgers.candidates("team", a_route(strategy=strategy), desk.now)[:2]
    prefers = [Preference(strategy, key=f"run-{n}", sticky=sticky) for n in range(50)]
    found = {c.name for p in prefers if (c := choose(views, p, desk.now).candidate)}
    assert found == ({"a"} if strategy is Strategy.PRIORITY and "a" in chosen else chosen)
    assert choose(views[:1], prefers[0], desk.now).candidate, "alone it is used up"
