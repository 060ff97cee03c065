"""Costs add up by what was measured; a budget warns first and holds then."""

from __future__ import annotations

import pandas as pd
import pytest

from splat_pipeline.domain.costs import Budget, Prices, costs_of, spent

NOW = "2026-11-20T12:00:00Z"


def stages(*rows: tuple[str, str, str, float, float]) -> pd.DataFrame:
    names = ["job", "stage", "product", "seconds", "bytes_out"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(
        bytes_in=10, peak_rss_bytes=[100 * (i + 1) for i in range(len(rows))], utc="2026-11-19T12:00:00Z"
    )


ROWS = stages(("a", "splat", "gold", 3600, 1e9), ("a", "exports", "gold", 1800, 2e9), ("b", "splat", "free", 7200, 0))


def test_costs_are_summed_by_job_and_stage_with_the_largest_memory():
    prices = Prices(hour=2.0, gigabyte=0.5)
    by_job = costs_of(ROWS, prices, ["job"]).set_index("job")
    assert by_job.loc["a", ["seconds", "bytes_in", "bytes_out", "peak_rss_bytes", "price"]].tolist() == [
        5400, 20, 3e9, 200, pytest.approx(2.0 * 1.5 + 0.5 * 3),
    ]  # fmt: skip
    assert costs_of(ROWS, Prices(), ["job"])["price"].tolist() == [0, 0], "no price, no cost"
    assert len(costs_of(ROWS, prices, ["job", "stage"])) == 3


@pytest.mark.parametrize(("hours", "state"), [(3.0, "within"), (1.8, "warned"), (1.5, "held"), (1.0, "held")])
def test_a_budget_warns_and_then_holds(hours: float, state: str):
    [found] = spent(ROWS, {"gold": Budget(hours=hours)}, Prices(), now_utc=NOW)
    assert (found.product, found.state) == ("gold", state)
    assert f"of {hours:g} machine hours in 30 days" in found.because


def test_the_tightest_limit_decides_and_only_its_days_and_its_class_count():
    prices = Prices(hour=10, currency="USD")
    [found] = spent(ROWS, {"gold": Budget(hours=100, price=16)}, prices, now_utc=NOW)
    assert (found.state, found.because) == ("warned", "gold used 15.00 of 16 USD in 30 days")
    [later] = spent(ROWS, {"gold": Budget(hours=1)}, prices, now_utc="2027-01-20T12:00:00Z")
    assert (later.state, later.share) == ("within", 0)
    assert spent(ROWS, {"gold": Budget()}, prices, now_utc=NOW)[0].state == "within"
