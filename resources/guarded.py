"""``MediaReader`` that opens nothing itself: every clip and image set is looked into by a child process with limits.

A decoder is a large piece of native code fed by strangers. What it breaks, or takes for ever, ends with the child, and
only that clip is refused: time, memory, file size and, where the system allows, the network are taken from it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from resources.machine import usable_cores
from resources.measure_files import read_measures
from resources.media import PyAvReader
from resources.sandbox import Limits
from resources.workers import run_python_worker
from splat_pipeline.domain.archives import MOST_BYTES
from splat_pipeline.domain.errors import SplatError, ToolCrashed, TooLong, ToolTimeout, UnreadableMedia, told
from splat_pipeline.domain.frames import FrameMeasure, FrameRef
from splat_pipeline.domain.positions import Track
from splat_pipeline.domain.uploads import VideoFacts
from splat_pipeline.ports.progress import Say

WORKER = "resources.media_worker"
MOST_THREADS = 4
"""Each holds some frames of the clip, 12 MB and more at 4K."""
UNPACKED_BYTES_S = 5e6
"""Slower than any disk that is worth a job."""


def _threads() -> int:
    return min(MOST_THREADS, usable_cores())


@dataclass(frozen=True, kw_only=True)
class GuardedReader:
    """Fulfils ``MediaReader``."""

    threads: int = field(default_factory=_threads)
    probe_s: float = 30.0
    """What a look at the first frame may take."""
    least_s: float = 300.0
    seconds_per_second: float = 20.0
    """Reading may take ``least_s`` and so much for each second of video: 4K at 60 frames takes 5 on one slow core."""
    memory_bytes: int = 4 << 30
    """Address space, of which libraries and threads take more than they use."""
    file_bytes: int = 4 << 30
    """The largest file that the child may write."""

    @property
    def clips_at_once(self) -> int:
        """See ``MediaReader``: as many as there are cores for their decoders' threads."""
        return max(1, usable_cores() // self.threads)

    def probe(self, path: Path) -> VideoFacts:
        """See ``MediaReader``."""
        from resources.media_worker import facts_of

        return facts_of(self._ask(path, {"command": "probe"}, time_limit_s=self.probe_s)["facts"])

    def positions(self, path: Path, facts: VideoFacts, *, subtitles: Path | None) -> Track | None:
        """See ``MediaReader``."""
        from resources.media_worker import track_of

        beside = None if subtitles is None else str(subtitles.absolute())
        return track_of(self._ask(path, {"command": "positions", "subtitles": beside}, facts=facts)["track"])

    def unpack(self, path: Path, folder: Path) -> int:
        """See ``MediaReader``."""
        limit_s = self.least_s + path.stat().st_size / UNPACKED_BYTES_S
        message = {"command": "unpack", "out": str(folder.absolute())}
        return int(self._ask(path, message, time_limit_s=limit_s, file_bytes=MOST_BYTES)["files"])

    def check_tables(self, folder: Path) -> None:
        """See ``MediaReader``."""
        self._ask(folder, {"command": "tables"}, time_limit_s=self.least_s)

    def digest(self, path: Path) -> tuple[str, int]:
        """See ``MediaReader``. Bytes are hashed here: that parses nothing."""
        return PyAvReader().digest(path)

    def measure(
        self, path: Path, facts: VideoFacts, *, fps: float, longer_side_px: int, say: Say
    ) -> Iterator[FrameMeasure]:
        """See ``MediaReader``."""
        with tempfile.TemporaryDirectory(prefix="splat-measures-") as out:
            message = {"command": "measure", "fps": fps, "longer_side_px": longer_side_px, "out": out}
            self._ask(path, message, facts=facts, say=say)
            yield from read_measures(Path(out))

    def extract(
        self,
        path: Path,
        facts: VideoFacts,
        frames: Sequence[FrameRef],
        folder: Path,
        *,
        longer_side_px: int,
        quality: int,
    ) -> list[tuple[str, int, int]]:
        """See ``MediaReader``."""
        message = {
            "command": "extract",
            "frames": [asdict(ref) for ref in frames],
            "out": str(folder.absolute()),
            "longer_side_px": longer_side_px,
            "quality": quality,
        }
        return [(name, width, height) for name, width, height in self._ask(path, message, facts=facts)["written"]]

    def _ask(
        self,
        path: Path,
        message: dict[str, Any],
        *,
        facts: VideoFacts | None = None,
        time_limit_s: float | None = None,
        file_bytes: int | None = None,
        say: Say = lambda _: None,
    ) -> dict[str, Any]:
        seconds = (facts.duration_s if facts else None) or 0.0
        limit_s = time_limit_s or self.least_s + self.seconds_per_second * seconds
        about = {"facts": asdict(facts)} if facts else {}
        with tempfile.TemporaryDirectory(prefix="splat-media-") as scratch:
            try:
                answer = run_python_worker(
                    WORKER,
                    {**message, **about, "path": str(path.absolute()), "threads": self.threads},
                    folder=Path(scratch),
                    time_limit_s=limit_s,
                    limits=Limits(
                        memory_bytes=self.memory_bytes,
                        file_bytes=file_bytes or self.file_bytes,
                        cpu_s=limit_s * self.threads,
                        network=False,
                    ),
                    say=say,
                )
            except ToolTimeout:
                why = f"{path.name} was not read within {limit_s:.0f} s, and given up"
                raise TooLong(why, file=path.name) from None
            except ToolCrashed as error:
                first, *others = error.cause.splitlines()
                how = " ".join([first.removesuffix(" Its last lines:"), *others[-1:]])
                why = f"{path.name} breaks the decoder: {how}"
                raise UnreadableMedia(why, file=path.name) from error
        if "error" in answer:
            raise _as_here(told(answer["error"]), path)
        return answer


def _as_here(error: SplatError, path: Path) -> SplatError:
    error.file = error.file or path.name
    return error
