"""A job that may be delivered twice, without a daemon: a draft, then the final result (else ``sensors/finals.py``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from splat_pipeline.assets.splats import final_config
from splat_pipeline.domain.uploads import Upload
from splat_pipeline.launch import Listener, Reason, run_upload
from splat_pipeline.overview import summary_of
from splat_pipeline.settings import Settings

Watch = Callable[[], AbstractContextManager[Listener]]


def run_passes(
    settings: Settings, upload: Upload, *, config: dict[str, Any], watch: Watch, reuse: bool
) -> Iterator[tuple[dict[str, Any] | None, Reason | None]]:
    """Run the whole job on ``upload``; yield the summary of each result that was delivered, or None and why it failed.

    After a draft the final result follows, which takes over all that the draft's run found out. ``watch``: gives what
    listens to one run.
    """
    while True:
        with watch() as listener:
            success, reason = run_upload(settings, upload, config=config, listener=listener, reuse=reuse)
        if not success:
            yield None, reason
            return
        summary = summary_of(settings, upload.job)
        yield summary, None
        if not summary.get("draft"):
            return
        config, reuse = final_config(config), True
