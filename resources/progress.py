"""What of COLMAP's output a person sees."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from splat_pipeline.ports.progress import Say

_COUNTED = (
    (re.compile(r"Processed file \[(\d+)/(\d+)\]"), "features {0}/{1}"),
    (re.compile(r"Processing block \[(\d+)/(\d+)\]"), "matching {0}/{1}"),
    (re.compile(r"Registering image #\d+ \(num_reg_frames=(\d+)\)"), "registered {0}"),
)
_STEP = 10


@dataclass
class Progress:
    """Lets few of COLMAP's lines through, in plain words: the worker's own, and every tenth of a count."""

    say: Say
    last: dict[str, int] = field(default_factory=dict)

    def __call__(self, line: str) -> None:
        """Take one line."""
        if line.startswith("splat: "):
            self.say(line.removeprefix("splat: "))
        for pattern, words in _COUNTED:
            found = pattern.search(line)
            if found:
                self._counted(words, found.groups())

    def _counted(self, words: str, groups: Sequence[str]) -> None:
        done = int(groups[0])
        tenth = done * _STEP // int(groups[1]) if len(groups) > 1 else done // _STEP
        if self.last.get(words) != tenth:
            self.last[words] = tenth
            self.say(words.format(*groups))
