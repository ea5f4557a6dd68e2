"""Who has told how much."""

from droveway.core.sources import Sources, sidecar_source
from helpers.told import GATEWAY, NOON, UID, after


def test_numbers_only_go_up() -> None:
    sources = Sources()

    assert [sources.take(GATEWAY, number, NOON) for number in (1, 2, 2, 1, 5)] == [0, 0, None, None, 2]
    assert (sources.highest(GATEWAY), sources.highest("nobody")) == (5, 0)


def test_even_a_repetition_shows_that_a_source_lives() -> None:
    sources = Sources()
    sources.take(GATEWAY, 1, NOON)
    sources.take(GATEWAY, 1, after(86_400))
    sources.prune((), after(86_401))

    assert sources.numbers() == {GATEWAY: 1}


def test_want_of_room_costs_the_sidecars_of_runs_that_are_over() -> None:
    sources = Sources()
    for name in (GATEWAY, sidecar_source(UID, 1), sidecar_source("another-run", 12)):
        sources.take(name, 3, NOON)
    sources.drop_sidecars({UID})

    assert sources.numbers() == {GATEWAY: 3, f"{UID}-1": 3}


def test_they_are_written_and_read() -> None:
    sources = Sources()
    sources.take(GATEWAY, 3, NOON)
    again = Sources.from_data(sources.to_data())
    again.prune((), after(86_400))

    assert sources.to_data() == {GATEWAY: [3, "2026-11-21T12:00:00+00:00"]}
    assert again.numbers() == {GATEWAY: 3}
    again.prune((), after(86_401))
    assert again.numbers() == {}
