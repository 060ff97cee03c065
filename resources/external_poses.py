"""Pose backends that run as a program, usually in an environment of their own: see ``domain.backend_answer``."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resources.sandbox import Limits, run_child
from splat_pipeline.domain.backend_answer import MAX_BYTES, read_answer, request_text
from splat_pipeline.domain.errors import BadAnswer
from splat_pipeline.domain.given import GivenPoses
from splat_pipeline.ports.progress import Say
from splat_pipeline.ports.sources import PoseRequest


@dataclass(frozen=True, kw_only=True)
class CommandPoses:
    """Fulfils ``PoseSource`` by a program that is called with the path of the request as its last argument."""

    name: str
    argv: Sequence[str]
    """The program, found by its path or name, and what comes before the request."""
    memory_limit_bytes: int | None = None

    def unavailable(self) -> str | None:
        """Return why it cannot be used; None when the program is there."""
        return None if shutil.which(self.argv[0]) else f"the program {self.argv[0]} is not installed"

    def poses(self, request: PoseRequest, *, say: Say) -> GivenPoses:
        """Run the program. Raises ``ToolMissing``, ``ToolTimeout``, ``ToolCrashed``, and ``BadAnswer``.

        It is killed with all that it started when the time is up; its lines go to ``say``.
        """
        with tempfile.TemporaryDirectory(prefix="poses-") as made:
            folder = Path(made)
            images = [(name, str((request.folder / name).absolute())) for name in request.images]
            text = request_text(
                images,
                sizes=request.sizes,
                camera_ids=request.camera_ids,
                times_s=request.times_s,
                answer=str(folder / "answer.json"),
                seed=request.seed,
            )
            (folder / "request.json").write_text(text, encoding="utf-8")
            run_child(
                [*self.argv, str(folder / "request.json")],
                time_limit_s=request.time_limit_s,
                limits=Limits(memory_bytes=self.memory_limit_bytes),
                cwd=folder,
                say=say,
            )
            return read_answer(
                self._answer(folder / "answer.json"),
                backend=self.name,
                names=request.images,
                sizes=request.sizes,
                camera_ids=request.camera_ids,
            )

    def _answer(self, path: Path) -> bytes:
        if path.is_symlink() or not path.is_file():
            raise BadAnswer(f"{self.name} ended without an answer")
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
