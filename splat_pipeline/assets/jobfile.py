"""``job.yaml``: what the owner of an upload asks for. YAML comes from outside: it is read with suspicion."""

from __future__ import annotations

from typing import Any

import yaml

from splat_pipeline.domain.contents import JOB_FILE
from splat_pipeline.domain.errors import BadJobFile, InputError

MAX_BYTES = 64 * 1024
MAX_DEPTH = 6


def read_job_file(text: str) -> dict[str, Any]:
    """Return the mapping in the text of a job file; an empty file asks for nothing. Raises ``BadJobFile``."""
    return read_yaml(text, file=JOB_FILE, error=BadJobFile)


def read_yaml(text: str, *, file: str, error: type[InputError], max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Return the mapping in the text of a file, empty for an empty one. Raises ``error``."""
    if len(text.encode(errors="replace")) > max_bytes:
        raise error(f"{file} is larger than {max_bytes} bytes", file=file)
    try:
        _require_plain(text, file, error)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as fault:  # ValueError: a date that is none
        raise error(f"{file} is not YAML: {' '.join(str(fault).split())}", file=file) from None
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise error(f"{file} must hold keys and values, not {type(data).__name__}", file=file)
    return data


def _require_plain(text: str, file: str, error: type[InputError]) -> None:
    """Refuse aliases (a few lines of them unfold to gigabytes) and depth before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise error(f"{file} uses an alias (*{event.anchor}): write the value out", file=file)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise error(f"{file} is nested more than {MAX_DEPTH} deep", file=file)
