"""The page that shows the splat: one file, no network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from splat_pipeline.assets.cleaning import cleaned_gaussians, weights_of
from splat_pipeline.assets.discretion import hidden
from splat_pipeline.assets.preview import FILMED, captured, path_of
from splat_pipeline.assets.stages import Loaders, Machines, Result, Stores, Work, job_asset, stage
from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import SplatError
from splat_pipeline.domain.formats.spz import write_spz
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.report import called
from splat_pipeline.domain.viewer import Shot, fitted, scene_of
from splat_pipeline.ports.training import ImageLoader, TrainingViews

_BESIDE = Path(__file__).parent


@job_asset(deps=FILMED, kinds={"python"})
def viewer(context: dg.AssetExecutionContext, store: Stores, machine: Machines, loader: Loaders) -> Result:
    """One page that shows the splat in a browser, without a network. Best effort, as the preview."""
    with stage(context, store, machine) as work:
        for name in FILMED:
            work.input(name)
        try:
            told = _page(work, loader) if work.recipe.viewer.enabled else {"ok": False, "reason": None}
        except (SplatError, OSError, ValueError) as error:
            context.log.warning(f"no viewer: {error}")
            (work.folder / "viewer.html").unlink(missing_ok=True)
            told = {"ok": False, "reason": hidden(f"{type(error).__name__}: {error}")}
            work.lasting = False
        (work.folder / "viewer.json").write_text(json.dumps(told, indent=1))
        work.publish(metadata={name: value for name, value in told.items() if value is not None})
        work.links("viewer.html")
    return work.result()


def _page(work: Work, loader: ImageLoader) -> dict[str, Any]:
    gaussians = cleaned_gaussians(work)
    views = captured(work, loader)
    scene = scene_of(gaussians, path_of(work, gaussians, views), _shots(work, views))
    packed, left_out = fitted(
        gaussians,
        weights_of(work),
        pack=lambda some: _spz(work, some),
        most_bytes=round(work.recipe.viewer.max_mb * 1e6),
    )
    plan = json.loads((work.input("splat") / "plan.json").read_text())
    page = viewer_html(
        packed,
        scene,
        title=work.store.upload(work.job).title,
        detail=plan["detail"],
        reasons=plan["reasons"],
        told={"gaussians": len(gaussians), "left_out": left_out},
    )
    (work.folder / "viewer.html").write_text(page, encoding="utf-8")
    return {"ok": True, "reason": None, "left_out": left_out, "splat_bytes": len(packed), "page_bytes": len(page)}


def _spz(work: Work, gaussians: Gaussians) -> bytes:
    path = work.folder / "viewer.spz"
    write_spz(path, gaussians)
    packed = path.read_bytes()
    path.unlink()
    return packed


def _shots(work: Work, views: TrainingViews) -> list[Shot]:
    videos = tables.read_rows(work.input("source_videos") / "videos.parquet", tables.VIDEOS)
    keyframes = tables.read_rows(work.input("keyframes") / "keyframes.parquet", tables.KEYFRAMES)
    poses = tables.read_rows(work.input("camera_poses") / "poses.parquet", tables.POSES)
    source = {row["video_id"]: row for row in videos}
    moment = {row["keyframe_id"]: _moment(source[row["video_id"]], row) for row in keyframes}
    sure = {row["keyframe_id"]: row["pose_confidence"] for row in poses}
    return [
        Shot(name=moment[keyframe_id], view=view, confidence=sure[keyframe_id])
        for keyframe_id, view in zip(views.keyframe_ids, views.views, strict=True)
    ]


def _moment(source: Mapping[str, Any], keyframe: Mapping[str, Any]) -> str:
    if source["container"] == "images":
        return f"{called(source['name'])}, picture {keyframe['frame_index'] + 1}"
    return f"{source['name']} at {keyframe['pts_s']:.1f} s"


def viewer_html(
    packed: bytes, scene: dict[str, Any], *, title: str, detail: str, reasons: Sequence[str], told: dict[str, Any]
) -> str:
    """Return the page around ``packed``, an ``.spz``. Every text of the upload is escaped; only its own code may run.

    ``told``: gaussians, and what was left_out (None: nothing).
    """
    code = (_BESIDE / "viewer.js").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string((_BESIDE / "viewer.html").read_text(encoding="utf-8")).render(
        policy=policy_of(code),
        title=title,
        detail=detail,
        reasons=list(reasons),
        scene=_json(scene),
        splat=Markup(base64.b64encode(packed).decode("ascii")),  # noqa: S704  # letters only
        code=Markup(code),  # noqa: S704  # our own, and the policy knows it by its digest
        libraries=code.partition(";")[0].removeprefix("/* "),
        licences=(_BESIDE / "viewer.licences.txt").read_text(encoding="utf-8"),
        **told,
    )


def policy_of(code: str) -> str:
    """Return the page's Content-Security-Policy: no network at all, and no script but ``code``.

    Spark unpacks its WebAssembly from a data: address and sorts in workers made of blob: addresses.
    """
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; script-src 'sha256-{digest}' 'wasm-unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data: blob:; connect-src data: blob:; worker-src blob:; form-action 'none'; base-uri 'none'"
    )


def _json(value: dict[str, Any]) -> Markup:
    # Inside a script element only "<" could end it, and JSON may write it as an escape.
    return Markup(json.dumps(value, allow_nan=False).replace("<", "\\u003c"))  # noqa: S704
