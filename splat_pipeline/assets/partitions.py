"""One partition a job."""

from __future__ import annotations

import dagster as dg

jobs = dg.DynamicPartitionsDefinition(name="jobs")
GROUP = "splat"
"""One group: two or more open as collapsed boxes in the UI."""
