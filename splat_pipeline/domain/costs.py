"""What jobs cost, and whether a product class has used up its budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

HOUR_S, GIGABYTE = 3600.0, 1e9
State = Literal["within", "warned", "held"]


class Prices(BaseModel):
    """What the machine costs, in a currency of the operator's; None: not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hour: float | None = Field(None, ge=0, description="price of an hour of this machine")
    gigabyte: float | None = Field(None, ge=0, description="price of a gigabyte that is written")
    currency: str = Field("EUR", max_length=10, description="of all prices")


class Budget(BaseModel):
    """What the jobs of one product class may take within some days; None: no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hours: float | None = Field(None, gt=0, description="of the machine")
    price: float | None = Field(None, gt=0, description="in the currency of the prices")
    days: float = Field(30.0, gt=0, description="counted back from now")
    warn_at: float = Field(0.8, gt=0, le=1, description="share of a limit from which on it is told")


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What was spent on one product class, and what follows."""

    product: str
    state: State
    share: float
    """Of the limit that is nearest to being used up."""
    because: str


def priced(stages: pd.DataFrame, prices: Prices) -> pd.Series[float]:
    """Return the price of each row of the ``stages`` table; 0 where no price is set."""
    hours, gigabytes = stages["seconds"].astype(float) / HOUR_S, stages["bytes_out"].astype(float) / GIGABYTE
    return hours * (prices.hour or 0.0) + gigabytes * (prices.gigabyte or 0.0)


def costs_of(stages: pd.DataFrame, prices: Prices, by: list[str]) -> pd.DataFrame:
    """Return seconds, peak memory, bytes in and out, and price, summed (memory: the most) over the columns ``by``."""
    rows = stages.assign(price=priced(stages, prices))
    sums = {name: (name, "sum") for name in ("seconds", "bytes_in", "bytes_out", "price")}
    return (
        rows.groupby(by, sort=False, dropna=False).agg(peak_rss_bytes=("peak_rss_bytes", "max"), **sums).reset_index()
    )


def spent(stages: pd.DataFrame, budgets: Mapping[str, Budget], prices: Prices, *, now_utc: str) -> list[Spent]:
    """Return the state of every budget. ``now_utc`` is ISO 8601, as are the times of ``stages``."""
    now, when = pd.Timestamp(now_utc), pd.to_datetime(stages["utc"], utc=True)
    found = []
    for product, budget in budgets.items():
        mine = stages[(stages["product"] == product) & (when > now - pd.Timedelta(days=budget.days))]
        used = {"hours": mine["seconds"].astype(float).sum() / HOUR_S, "price": priced(mine, prices).sum()}
        found.append(_state(product, budget, used, prices.currency))
    return found


def _state(product: str, budget: Budget, used: Mapping[str, float], currency: str) -> Spent:
    limits = {"hours": budget.hours, "price": budget.price}
    shares = {name: used[name] / limit for name, limit in limits.items() if limit is not None}
    name = max(shares, key=lambda each: shares[each], default=None)
    if name is None:
        return Spent(product=product, state="within", share=0.0, because=f"{product} has no limit")
    unit = "machine hours" if name == "hours" else currency
    words = f"{product} used {used[name]:.2f} of {limits[name]:g} {unit} in {budget.days:g} days"
    share = shares[name]
    state: State = "held" if share >= 1 else "warned" if share >= budget.warn_at else "within"
    return Spent(product=product, state=state, share=share, because=words)
