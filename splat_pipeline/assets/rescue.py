"""The attempts at one window, until one is good enough: ``domain.rescue`` says what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from splat_pipeline.assets.footage import Footage, footage_of, names_of
from splat_pipeline.assets.known import known_cameras
from splat_pipeline.assets.merging import merged
from splat_pipeline.assets.posed import given_attempt, is_given
from splat_pipeline.assets.stages import Work
from splat_pipeline.domain.rescue import Evidence, Signature, is_joinable, next_rung, signature_of
from splat_pipeline.domain.tables import KEYFRAMES, read_table
from splat_pipeline.domain.windows import Window, offered, settle
from splat_pipeline.ports.sfm import ReconstructionRequest, SfmBackend
from splat_pipeline.ports.sources import PoseSources

RIG_MAPPER = "incremental"
"""Rigs that were held fixed came out metric and exact by it, bent by 3 % of the path by the global one."""
MERGE, PARTS = "merge", "-parts"
Rows = list[dict[str, Any]]


def climb(work: Work, window: Window, sfm: SfmBackend, sources: PoseSources, tries: Path) -> Rows:
    """Try until enough images are registered, rungs end, or time does; return rows of ``tables.ATTEMPTS``.

    The model of attempt i lies in ``tries / str(i)``. Given poses, where there are any, come first. Whenever models lie
    there that have images of their own, it is tried to merge them.
    """
    tries.mkdir()
    keyframes = window.of(read_table(work.input("keyframes") / "keyframes.parquet", KEYFRAMES))
    given = given_attempt(work, keyframes, sfm, sources, tries / "0")
    rows = [] if given is None else [attempt_row(given, window, 0, len(keyframes))]
    if rows and rows[0]["registered"]:
        return rows
    footage = footage_of(work, window, tries / "footage")
    rigged = known_cameras(work, keyframes)["rig"] is not None
    names = for_rigs(work, sfm.strategies) if rigged else offered(sfm.strategies, work.recipe.poses.mapper)
    while (left_s := _left_s(work, rows)) > 0:
        best, _ = settle(rows)
        strategy = _next(rows, best, names)
        if strategy is None:
            break
        model = tries / str(len(rows))
        start = None if best is None else tries / str(best)
        request = request_for(work, footage, strategy, left_s=left_s, start=start)
        request = replace(request, parts=model.with_name(model.name + PARTS))
        if given is not None:
            request = replace(request, graph=None)  # nothing was matched for poses that were given
        attempt = footage.counted(sfm.reconstruct(request, model, say=work.log), model)
        _note(work, rows, window, asdict(attempt) | {"strategy": strategy})
        short = attempt.registered and rows[-1]["signature"] != Signature.ENOUGH
        if short and not rigged and _left_s(work, rows) > 0:
            whole = merged(work, sfm, footage, _mergeable(rows, tries), _left_s(work, rows), tries / str(len(rows)))
            if whole is not None:
                _note(work, rows, window, asdict(whole) | {"strategy": MERGE})
    return rows


def for_rigs(work: Work, strategies: Sequence[str]) -> tuple[str, ...]:
    """Return the strategies that hold a rig: they map incrementally, and from the beginning."""
    if work.recipe.poses.mapper == "global":
        work.log("a rig is held by the incremental mapper only: poses.mapper is not followed")
    return tuple(name for name in offered(strategies, RIG_MAPPER) if not name.endswith("-join"))


def _left_s(work: Work, rows: Rows) -> float:
    return work.recipe.poses.rescue_limit_s - float(sum(row["seconds"] for row in rows))


def _next(rows: Rows, best: int | None, names: Sequence[str]) -> str | None:
    """Return the next rung; given poses that were not believed say nothing of how to look for others."""
    history = [(row["strategy"], Signature(row["signature"])) for row in rows if not is_given(row["strategy"])]
    joinable = is_joinable([row["strategy"] for row in rows], best)
    return next_rung(history, names, joinable=joinable)


def _note(work: Work, rows: Rows, window: Window, tried: dict[str, Any]) -> None:
    images = window.stop - window.first
    rows.append(attempt_row(tried, window, len(rows), images))
    work.log(f"{tried['strategy']}: {rows[-1]['signature']}, {tried['registered']} of {images} keyframes found")


def _mergeable(rows: Rows, tries: Path) -> list[Path]:
    """Return the models that were made of the job's features, the one with most images first, parts last."""
    own = [i for i, row in enumerate(rows) if not row["strategy"].endswith("-rich")]
    whole = [tries / str(i) for i in sorted(own, key=lambda i: (-rows[i]["registered"], i)) if rows[i]["registered"]]
    parts = [part for i in own for part in sorted((tries / f"{i}{PARTS}").glob("*"), key=lambda path: int(path.name))]
    return [*whole, *parts]


def request_for(
    work: Work, footage: Footage, strategy: str, *, left_s: float, start: Path | None = None
) -> ReconstructionRequest:
    """Return what is asked of the backend for an attempt at ``footage`` that may take ``left_s``."""
    recipe = work.recipe.poses
    return ReconstructionRequest(
        folder=footage.images,
        images=names_of(footage.frames),
        camera_ids=footage.frames["camera_id"].tolist(),
        features=footage.features,
        strategy=strategy,
        recipe=recipe.model_copy(update={"time_limit_s": min(recipe.time_limit_s, left_s)}),
        seed=work.recipe.seed,
        graph=footage.graph,
        start=start,
        **known_cameras(work, footage.frames),
    )


def attempt_row(tried: dict[str, Any], window: Window, number: int, images: int) -> dict[str, Any]:
    """Return the row of ``tables.ATTEMPTS`` of an ``Attempt``'s fields and its strategy, at so many images."""
    seen = Evidence(**{field.name: tried.get(field.name, field.default) for field in fields(Evidence)})
    signature = str(signature_of(seen, images))
    return {**asdict(seen), **tried, "window_id": window.window_id, "attempt": number, "signature": signature}
