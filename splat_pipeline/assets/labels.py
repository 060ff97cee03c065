"""What every delivered file that has room for it says of the splat."""

from __future__ import annotations

import json
from typing import Any

from splat_pipeline.assets import pages
from splat_pipeline.assets.stages import Work
from splat_pipeline.domain.plans import detail_lines
from splat_pipeline.domain.reference import header_lines


def plan_of(work: Work) -> dict[str, Any]:
    """Return ``plan.json`` of the splat: at what detail it is, and why."""
    plan: dict[str, Any] = json.loads((work.input("splat") / "plan.json").read_text())
    return plan


def header_of(work: Work) -> list[str]:
    """Return lines for the header of a file: axes, units and place of the world, the detail and its reasons."""
    plan = plan_of(work)
    return [*header_lines(pages.frame_of(work)), *detail_lines(plan["detail"], plan["reasons"])]
