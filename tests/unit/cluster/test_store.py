"""The cache never goes backwards, and what is gone does not come back."""

from typing import Any

from droveway.cluster.objects import Key, Store

KEY = Key("team", "a")


def manifest(version: int, uid: str = "u1", value: str = "") -> dict[str, Any]:
    return {"metadata": {"namespace": "team", "name": "a", "uid": uid, "resourceVersion": str(version)}, "value": value}


def a_store() -> Store[str]:
    return Store(lambda m: str(m["value"]))


def test_a_late_event_does_not_undo_what_we_wrote() -> None:
    store = a_store()
    assert store.put(manifest(5, value="ours"))

    assert not store.put(manifest(4, value="old"))
    assert store.get(KEY) == "ours"


def test_an_answer_that_arrives_after_the_deletion_does_not_bring_it_back() -> None:
    store = a_store()
    store.put(manifest(5))
    assert store.remove(manifest(6))

    assert not store.put(manifest(7))
    assert store.get(KEY) is None


def test_a_new_object_of_the_same_name_is_taken_whatever_its_version() -> None:
    store = a_store()
    store.put(manifest(5))
    store.remove(manifest(6))

    assert store.put(manifest(2, uid="u2", value="new"))
    assert store.get(KEY) == "new"


def test_the_deletion_of_a_former_object_does_not_touch_its_successor() -> None:
    store = a_store()
    store.put(manifest(9, uid="u2", value="new"))

    assert not store.remove(manifest(8, uid="u1"))
    assert store.get(KEY) == "new"
