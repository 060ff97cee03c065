"""What a child process says, cut into lines: the last ones are kept, all are passed on."""

from __future__ import annotations

import codecs
from collections import deque
from dataclasses import dataclass, field
from typing import IO

from splat_pipeline.assets.discretion import hidden
from splat_pipeline.ports.progress import Say

KEPT_LINES, LONGEST_LINE = 200, 4000


@dataclass(kw_only=True)
class Lines:
    """Cuts bytes into lines (a carriage return ends one too) and keeps the last ones."""

    say: Say
    log: IO[str] | None
    kept: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    rest: str = ""
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        *whole, self.rest = (self.rest + self.decoder.decode(data)).replace("\r", "\n").split("\n")
        for line in whole:
            self._line(line)
        if len(self.rest) > LONGEST_LINE:
            self.finish()

    def finish(self) -> None:
        """Take what is left for a line."""
        self._line(self.rest)
        self.rest = ""

    def _line(self, line: str) -> None:
        text = hidden(line.rstrip()[:LONGEST_LINE])
        if not text:
            return
        self.kept.append(text)
        if self.log is not None:
            self.log.write(text + "\n")
        self.say(text)

    def close(self) -> None:
        """Close the log."""
        if self.log is not None:
            self.log.close()
