"""The shape of the graph with cheap stages: an upload read, a fan-out whose steps call a tool, a gather, a delivery.

Everything is a function of the upload's bytes, so that whoever knows them can tell whether what was delivered is right.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from resources.sandbox import run_child
from splat_pipeline.assets.failures import RETRIES, classified
from splat_pipeline.assets.partitions import GROUP, jobs
from splat_pipeline.assets.stages import Machines, Stores, job_asset, stage
from splat_pipeline.domain.errors import CorruptArtifact, MissingWindow, UnreadableMedia

PIECES = 3
ROUNDS = 40_000
LINGERS_S = 0.7
"""Of a tool: long enough to be killed now and then."""
BAD = b"no film"
HOLD = "CHEAP_HOLD"
"""Environment variable: a file; while it is there, the programs of the pieces wait."""
TOOL = f"""
import hashlib, os, pathlib, sys, time
while os.path.exists(os.environ.get("{HOLD}", "")):
    time.sleep(0.05)
data = pathlib.Path(sys.argv[1]).read_bytes()
for _ in range({ROUNDS}):
    data = hashlib.sha256(data).digest()
time.sleep({LINGERS_S})
pathlib.Path(sys.argv[2]).write_text(data.hex())
"""


def expected(contents: Mapping[str, bytes]) -> str:
    """Return what the package of an upload must say."""
    whole = b"".join(contents[name] for name in sorted(contents))
    return "\n".join(_chain(_piece(whole, i)) for i in range(PIECES))


def _piece(whole: bytes, number: int) -> bytes:
    return hashlib.sha256(whole).digest() + bytes([number])


def _chain(data: bytes) -> str:
    for _ in range(ROUNDS):
        data = hashlib.sha256(data).digest()
    return data.hex()


@job_asset()
def source(context: dg.AssetExecutionContext, store: Stores, machine: Machines) -> dg.MaterializeResult[Any]:
    """The upload's bytes."""
    with stage(context, store, machine) as work:
        upload = store.here(store.upload(work.job))
        names = sorted(file.name for file in upload.files if not file.name.startswith("."))
        whole = b"".join(Path(upload.location, name).read_bytes() for name in names)
        if whole.startswith(BAD):
            raise UnreadableMedia("this is no film", file=names[0])
        (work.folder / "whole.bin").write_bytes(whole)
        work.publish(metadata={"bytes": len(whole)})
    return work.result()


@dg.op(ins={"source": dg.In(dg.Nothing)}, out=dg.DynamicOut(io_manager_key="json_io"), retry_policy=RETRIES)
@classified
def plan_pieces(context: dg.OpExecutionContext) -> list[dg.DynamicOutput[int]]:
    """Name the pieces."""
    del context
    return [dg.DynamicOutput(i, mapping_key=f"piece_{i}") for i in range(PIECES)]


@dg.op(out=dg.Out(io_manager_key="json_io"), pool="train_cpu", retry_policy=RETRIES)
@classified
def piece(context: dg.OpExecutionContext, store: Stores, machine: Machines, number: int) -> dict[str, Any]:
    """Let a program of its own process compute one piece."""
    with stage(context, store, machine, name=f"piece_{number}") as work:
        asked, made = work.folder / "asked", work.folder / "made"
        asked.write_bytes(_piece((work.input("source") / "whole.bin").read_bytes(), number))
        run_child([sys.executable, "-c", TOOL, str(asked), str(made)], time_limit_s=3600)
        work.publish(metadata={})
    assert work.published is not None
    return {"number": number, "digest": work.published.digest}


@dg.op(out=dg.Out(io_manager_key="json_io"), retry_policy=RETRIES)
@classified
def gather_pieces(
    context: dg.OpExecutionContext, store: Stores, machine: Machines, done: list[dict[str, Any]]
) -> dg.Output[int]:
    """Bring the pieces together; each one is asked for."""
    with stage(context, store, machine, name="joined") as work:
        if sorted(row["number"] for row in done) != list(range(PIECES)):
            raise MissingWindow(f"{len(done)} of {PIECES} pieces came")
        texts = [(work.input(f"piece_{i}") / "made").read_text() for i in range(PIECES)]
        if any(work.inputs[f"piece_{row['number']}"].digest != row["digest"] for row in done):
            raise CorruptArtifact("a piece is not the one that this run made")
        (work.folder / "joined.txt").write_text("\n".join(texts))
        work.publish(metadata={})
    return dg.Output(len(done))


@dg.graph_asset(ins={"source": dg.AssetIn(dagster_type=dg.Nothing)}, partitions_def=jobs, group_name=GROUP)
def joined(source: Any) -> Any:
    """One step a piece, brought together."""
    return gather_pieces(plan_pieces(source).map(piece).collect())


@job_asset(deps=["joined"])
def package(context: dg.AssetExecutionContext, store: Stores, machine: Machines) -> dg.MaterializeResult[Any]:
    """What is delivered."""
    with stage(context, store, machine) as work:
        (work.folder / "result.txt").write_text((work.input("joined") / "joined.txt").read_text())
        work.publish(metadata={})
        assert work.published is not None
        store.deliver(work.published)
    return work.result()
