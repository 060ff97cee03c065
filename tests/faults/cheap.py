"""A code location as the real one, with the cheap stages."""

import cheap_stages
import dagster as dg

from resources.lifeline import end_with_parent
from splat_pipeline.definitions import build
from splat_pipeline.settings import load


@dg.definitions
def defs() -> dg.Definitions:
    """Load it, as ``splat_pipeline.definitions.defs`` does."""
    end_with_parent()
    return build(load(), stages=dg.load_assets_from_modules([cheap_stages]))
