"""What ``job.yaml`` asks apart from the recipe: it decides when and whether a job runs, not how its result looks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from splat_pipeline.domain.errors import BadJobFile

MOST_PRIORITY = 100


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """Of one upload."""

    product: str = "standard"
    """Class of the job: how long things are kept and what it may cost hang on it."""
    priority: int = 0
    """Higher runs first; among equals, who came first."""
    force: bool = False
    """Compute anew what was delivered already."""


def split(data: Mapping[str, Any], *, file: str) -> tuple[Wishes, dict[str, Any]]:
    """Return the wishes that the content of ``job.yaml`` holds, and the rest of it. Raises ``BadJobFile``."""
    names = {field.name for field in fields(Wishes)}
    wishes = Wishes(**{key: value for key, value in data.items() if key in names and value is not None})
    checks = {
        "product": isinstance(wishes.product, str) and re.fullmatch(r"[a-z0-9_-]{1,40}", wishes.product) is not None,
        "priority": type(wishes.priority) is int and abs(wishes.priority) <= MOST_PRIORITY,
        "force": type(wishes.force) is bool,
    }
    wanted = {
        "product": "1 to 40 of a-z, 0-9, - and _",
        "priority": f"a whole number from -{MOST_PRIORITY} to {MOST_PRIORITY}",
        "force": "true or false",
    }
    for key, good in checks.items():
        if not good:
            raise BadJobFile(f"{file}: {key}: must be {wanted[key]} (got {asdict(wishes)[key]!r})", file=file)
    return wishes, {key: value for key, value in data.items() if key not in names}
