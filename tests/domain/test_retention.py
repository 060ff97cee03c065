"""What is guarded stays, what is over its budgets goes, the oldest first, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from splat_pipeline.domain.retention import DAY_S, GIGABYTE, KINDS, Keep, KeepRules, Thing, decide, make_room


def thing(name: str, *, days: float = 1, size: float = 1, guard: str | None = None, **about) -> Thing:
    about = {"kind": "uploads", "product": "standard", **about}
    return Thing(name=name, job=name, size_bytes=int(size * GIGABYTE), age_s=days * DAY_S, guard=guard, **about)


things = st.lists(
    st.builds(
        thing,
        st.text("abc", min_size=1, max_size=4),
        days=st.floats(0, 100),
        size=st.floats(0, 10),
        guard=st.sampled_from([None, None, "it runs"]),
        kind=st.sampled_from(KINDS),
        product=st.sampled_from(["standard", "gold"]),
    ),
    max_size=30,
    unique_by=lambda t: t.name,
)
keeps = st.builds(Keep, days=st.none() | st.floats(0, 100), gigabytes=st.none() | st.floats(0, 50))
rules = st.dictionaries(
    st.sampled_from(["standard", "gold"]),
    st.builds(KeepRules, uploads=keeps, intermediates=keeps, checkpoints=keeps, packages=keeps),
)


@given(things, rules)
def test_every_thing_is_decided_on_once_guards_hold_and_budgets_are_met_where_they_can_be(found, budgets):
    decided = decide(found, budgets)
    assert sorted(d.thing.name for d in decided) == sorted(t.name for t in found)
    assert not any(d.goes for d in decided if d.thing.guard)
    assert all(d.because for d in decided)
    for kind in KINDS:
        for product in ("standard", "gold"):
            mine = [d for d in decided if (d.thing.kind, d.thing.product) == (kind, product)]
            kept = [d.thing for d in mine if not d.goes]
            keep = getattr(budgets.get(product, budgets.get("standard", KeepRules())), kind)
            free = [t for t in kept if t.guard is None]
            if keep.days is not None:
                assert all(t.age_s <= keep.days * DAY_S for t in free)
            if keep.gigabytes is not None and sum(t.size_bytes for t in kept) > keep.gigabytes * GIGABYTE:
                assert not free, "nothing that may go is left where the budget is not met"


@given(things)
def test_without_limits_nothing_goes(found):
    none = KeepRules(uploads=Keep(), intermediates=Keep(), checkpoints=Keep(), packages=Keep())
    assert not any(d.goes for d in decide(found, {"standard": none}))


def test_the_oldest_go_first_when_there_is_too_much_and_no_more_than_needed():
    found = [thing("new", days=1, size=4), thing("old", days=9, size=4), thing("older", days=10, size=4)]
    decided = decide(found, {"standard": KeepRules(uploads=Keep(gigabytes=8))})
    assert [(d.thing.name, d.goes) for d in decided] == [("older", True), ("old", False), ("new", False)]
    assert decided[0].because == "uploads of standard take more than 8 GB"


def test_a_class_with_rules_of_its_own_does_not_follow_the_standard():
    found = [thing("a", days=9, product="gold"), thing("b", days=9), thing("c", days=9, product="other")]
    rules = {"standard": KeepRules(uploads=Keep(days=8)), "gold": KeepRules(uploads=Keep(days=90))}
    assert {d.thing.name: d.goes for d in decide(found, rules)} == {"a": False, "b": True, "c": True}


@given(things, st.floats(0, 30), st.floats(0, 100))
def test_room_is_made_by_no_more_than_is_needed_and_never_of_packages_or_what_is_guarded(found, wanted, days):
    gone = [d.thing for d in make_room(found, wanted_bytes=int(wanted * GIGABYTE), least_age_s=days * DAY_S)]
    assert all(t.guard is None and t.kind != "packages" and t.age_s >= days * DAY_S for t in gone)
    assert sum(t.size_bytes for t in gone[:-1]) < max(1, int(wanted * GIGABYTE)) or not gone
    could = [t for t in found if t.guard is None and t.kind != "packages" and t.age_s >= days * DAY_S]
    assert sum(t.size_bytes for t in gone) >= wanted * GIGABYTE - 1 or len(gone) == len(could)


def test_old_processed_uploads_go_before_anything_else():
    found = [thing("i", kind="intermediates", days=50), thing("u", days=3), thing("v", days=4)]
    gone = make_room(found, wanted_bytes=int(1.5 * GIGABYTE), least_age_s=0)
    assert [d.thing.name for d in gone] == ["v", "u"]
