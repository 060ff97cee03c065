import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.strategies import STRATEGIES
from splat_pipeline.domain.rescue import JOIN, NEXT, Evidence, Signature, is_joinable, next_rung, signature_of

HEALTHY = {"features": 3000.0, "linked": 1.0, "flat": 0.1}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Evidence(outcome="model", registered=95, models=1), "enough"),
        (Evidence(outcome="model", registered=94, models=3, **HEALTHY), "good"),
        (Evidence(outcome="timeout", registered=0, models=0), "timeout"),
        (Evidence(outcome="memory", registered=0, models=0), "memory"),
        (Evidence(outcome="crashed", registered=0, models=0), "crashed"),
        (Evidence(outcome="model", registered=50, models=1, features=300.0, linked=0.9, flat=0.0), "few features"),
        (Evidence(outcome="model", registered=50, models=2, **HEALTHY), "components"),
        (Evidence(outcome="model", registered=50, models=1, **HEALTHY), "partial"),
        (Evidence(outcome="model", registered=50, models=1, features=3000.0, linked=0.5, flat=0.0), "low overlap"),
        (Evidence(outcome="failed", registered=0, models=0, features=3000.0, linked=1.0, flat=0.9), "no parallax"),
        (Evidence(outcome="failed", registered=0, models=0, **HEALTHY), "no model"),
    ],
)
def test_an_attempt_has_a_signature(seen, expected):
    assert signature_of(seen, 100) == expected


@pytest.mark.parametrize(
    ("signature", "rung"),
    [
        (Signature.ENOUGH, None),
        (Signature.GOOD, JOIN),
        (Signature.COMPONENTS, JOIN),
        (Signature.PARTIAL, JOIN),
        (Signature.FEATURELESS, "incremental-rich"),
        (Signature.UNLINKED, "global-wide"),
        (Signature.FLAT, "incremental"),
        (Signature.NOTHING, "incremental"),
        (Signature.TIMEOUT, "incremental"),
        (Signature.CRASH, "incremental"),
    ],
)
def test_the_signature_decides_what_comes_next(signature, rung):
    assert next_rung([("global", signature)], STRATEGIES, joinable=True) == rung


def test_the_first_rung_is_the_first_on_offer():
    assert next_rung([], STRATEGIES, joinable=False) == "global"
    assert next_rung([], [], joinable=False) is None


def test_without_a_model_nothing_is_joined():
    assert next_rung([("global", Signature.UNLINKED), ("global-wide", Signature.UNLINKED)], STRATEGIES, joinable=False)
    assert next_rung([("global", Signature.GOOD)], STRATEGIES, joinable=False) is None


def climb(history, signatures, *, best):
    """Return the rungs after ``history``; the attempt at position ``best`` stays the best."""
    history = list(history)
    for signature in signatures:
        joinable = is_joinable([rung for rung, _ in history], best if len(history) > best else None)
        rung = next_rung(history, STRATEGIES, joinable=joinable)
        if rung is None:
            break
        history.append((rung, signature))
    return [rung for rung, _ in history]


def test_after_a_timeout_nothing_heavier_is_tried():
    history = [("global", Signature.TIMEOUT), ("incremental", Signature.PARTIAL)]
    assert climb(history, [Signature.PARTIAL] * 9, best=1) == ["global", "incremental", JOIN]


def test_the_best_attempt_decides_not_the_last():
    history = [("global", Signature.GOOD), (JOIN, Signature.CRASH)]
    assert next_rung(history, STRATEGIES, joinable=False) is None


def test_a_model_is_joined_to_once_and_never_one_of_other_features():
    assert not is_joinable(["global"], None)
    assert is_joinable(["global"], 0)
    assert not is_joinable(["global", JOIN], 0)
    assert not is_joinable(["global", JOIN], 1)
    assert is_joinable(["global", JOIN, "global-wide"], 2)
    assert not is_joinable(["global", "incremental-rich"], 1)


@given(st.lists(st.sampled_from(list(Signature)), min_size=12, max_size=12), st.integers(0, 8))
def test_the_ladder_ends_and_repeats_no_rung(signatures, best):
    climbed = climb([], signatures, best=best)
    assert len(climbed) < 12
    assert len(set(climbed) - {JOIN}) == len([rung for rung in climbed if rung != JOIN])


def test_every_signature_has_its_row_of_known_rungs():
    assert set(NEXT) == set(Signature)
    assert {rung for row in NEXT.values() for rung in row} <= set(STRATEGIES)
    assert all(name.split("-")[0] == strategy.mapper for name, strategy in STRATEGIES.items())
