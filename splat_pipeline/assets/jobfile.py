"""``job.yaml``: what the owner of an upload asks for. It comes from outside, so it is read with suspicion."""

from __future__ import annotations

from typing import Any

import yaml

from splat_pipeline.domain.errors import BadJobFile
from splat_pipeline.domain.uploads import JOB_FILE

MAX_BYTES = 64 * 1024
MAX_DEPTH = 6


def read_job_file(text: str) -> dict[str, Any]:
    """Return the mapping in the text of a job file; an empty file asks for nothing. Raises ``BadJobFile``."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise BadJobFile(f"{JOB_FILE} is larger than {MAX_BYTES} bytes", file=JOB_FILE)
    try:
        _require_plain(text)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        raise BadJobFile(f"{JOB_FILE} is not YAML: {' '.join(str(error).split())}", file=JOB_FILE) from None
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise BadJobFile(f"{JOB_FILE} must hold keys and values, not {type(data).__name__}", file=JOB_FILE)
    return data


def _require_plain(text: str) -> None:
    """Refuse aliases (a few lines of them unfold to gigabytes) and depth before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise BadJobFile(f"{JOB_FILE} uses an alias (*{event.anchor}): write the value out", file=JOB_FILE)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise BadJobFile(f"{JOB_FILE} is nested more than {MAX_DEPTH} deep", file=JOB_FILE)
