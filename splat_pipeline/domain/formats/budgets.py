"""Making a file fit: coarser numbers, fewer harmonics, fewer Gaussians, whichever costs the pictures least.

N Gaussians. For every degree of harmonics and every fineness that a format lets its writer choose, as many Gaussians
are kept as the budget has room for, those that contribute most; of these candidates the one is taken whose pictures are
nearest to those of all of them. ``formats.parquet`` says what each format's costs.

Writing takes seconds where there are a million, pictures less: a candidate is given up as soon as pictures of exact
numbers, of as many as might fit, are worse than those of one that fits. Each begins with as many as the last one held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import InputError
from splat_pipeline.domain.gaussians import Gaussians

Write = Callable[[Path, Gaussians, int], None]
"""With how coarse: see ``files.Format.coarser``."""
_ROUNDS, _FULL, _AIM = 8, 0.95, 0.98
"""Attempts for a candidate; so full, a file is good enough; what the next attempt aims at, of the budget."""
_LEAST, _NEAR, _MORE = 0.01, 0.05, 1.1
"""Shares of the Gaussians: fewer are no candidate; sizes grow in steps, and so near to one is good enough; more than
would fit by what is known may fit."""
_POWERS = (0.5, 1.5)
"""Within these the size of a file grows with its count, wherever no palette doubles."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Says how near pictures are to those of all Gaussians."""

    read: Callable[[Path], Gaussians]
    compare: Callable[[Gaussians], float]
    """PSNR in dB."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Candidate:
    score: float
    kept: Gaussians
    coarse: int

    @property
    def rank(self) -> tuple[float, int, int]:
        return self.score, self.kept.sh_degree, -self.coarse


@dataclass(frozen=True, kw_only=True, eq=False)
class Budget:
    """How large a file may be, and who goes last."""

    most_bytes: int
    weights: NDArray[np.float32]
    """(N,) contribution of each Gaussian: see ``domain/cleaning.py``."""

    def fit(
        self, gaussians: Gaussians, path: Path, write: Write, judge: Judge | None, *, coarsest: int = 0
    ) -> tuple[Gaussians, int]:
        """Write ``path``, of at most ``most_bytes``; return the Gaussians in it, in their order, and how coarse it is.

        Without ``judge`` the candidate with most Gaussians is taken, then that with most harmonics, then the finest.
        Raises ``InputError`` where not even a hundredth of the Gaussians fits.
        """
        write(path, gaussians, 0)
        if (size := path.stat().st_size) <= self.most_bytes:
            return gaussians, 0
        order, best_path = np.argsort(-self.weights, kind="stable"), path.with_name(f".{path.name}")
        count = self._next(len(gaussians), size, len(gaussians))
        best: _Candidate | None = None
        for degree in range(gaussians.sh_degree, -1, -1):
            lowered = gaussians.lowered(degree)
            ceiling = judge.compare(lowered) if judge and best else float("inf")
            for coarse in range(coarsest + 1):
                if best and ceiling <= best.score:
                    break
                attempt = _Attempt(lowered=lowered, order=order, write=write, path=path, coarse=coarse)
                kept = self._cut(attempt, count, partial(_may_win, best, judge))
                if kept is None:
                    continue
                count = len(kept)
                score = judge.compare(judge.read(path)) if judge else float(count)
                found = _Candidate(score=score, kept=kept, coarse=coarse)
                if best is None or found.rank > best.rank:
                    best = found
                    path.replace(best_path)
                if count == len(gaussians):
                    break  # coarser would only be worse
        if best is None:
            told = f"{len(gaussians)} Gaussians do not fit into {self.most_bytes} bytes as {path.suffix}"
            raise InputError(told, remedy="Raise exports.max_bytes, or leave this format out of exports.formats.")
        best_path.replace(path)
        return best.kept, best.coarse

    def _cut(self, attempt: _Attempt, count: int, may_win: Callable[[Gaussians], bool]) -> Gaussians | None:
        """Write as many as fit, those of most contribution, ``count`` for a beginning.

        Returns None where hardly any fits, or where those that might would not win.
        """
        total = len(attempt.lowered)
        fits, too_many, asked = 0, total + 1, False
        for _ in range(_ROUNDS):
            size = attempt.written(max(1, min(count, total)))
            fits, too_many = (attempt.last, too_many) if size <= self.most_bytes else (fits, attempt.last)
            wanted = self._next(attempt.last, size, total, attempt.power)
            if not asked and not may_win(attempt.kept(min(total, int(wanted * _MORE)))):
                return None
            asked, full = True, fits == attempt.last and size >= _FULL * self.most_bytes
            near = too_many - fits <= max(1, _NEAR * fits)
            if fits == total or near or (full and not wanted == total < too_many):
                break
            count = wanted if fits < wanted < too_many else (fits + too_many) // 2
            if count < total * _LEAST:
                break
        if fits < max(1, total * _LEAST):
            return None
        if attempt.last != fits:
            attempt.written(fits)
        return attempt.kept(fits)

    def _next(self, count: int, size: int, total: int, power: float = 1.0) -> int:
        """Return how many of ``total`` would fit, were files as large as the ``power`` of their count.

        ``count`` of them take ``size`` bytes.
        """
        room = (self.most_bytes / max(size, 1)) ** (1 / power)
        return total if count * room >= total else int(count * room * _AIM)


def _may_win(best: _Candidate | None, judge: Judge | None, exact: Gaussians) -> bool:
    """Return whether pictures of what a file might hold, with exact numbers, are better than the best ones so far."""
    return best is None or judge is None or judge.compare(exact) > best.score


class _Attempt:
    """One candidate: its harmonics and fineness are given, and who goes first."""

    def __init__(self, *, lowered: Gaussians, order: NDArray[np.int64], write: Write, path: Path, coarse: int) -> None:
        self.lowered, self.last, self.power = lowered, 0, 1.0
        self._order, self._write, self._path, self._coarse = order, write, path, coarse
        self._size = 0

    def kept(self, count: int) -> Gaussians:
        return self.lowered if count == len(self.lowered) else self.lowered.take(np.sort(self._order[:count]))

    def written(self, count: int) -> int:
        """Write so many; return the bytes."""
        before, self.last = (self.last, self._size), count
        self._write(self._path, self.kept(count), self._coarse)
        self._size = self._path.stat().st_size
        if 0 < before[0] != count and before[1] and self._size:
            slope = np.log(self._size / before[1]) / np.log(count / before[0])
            self.power = float(np.clip(slope, *_POWERS))
        return self._size


def left_out(want: Gaussians, kept: Gaussians, coarser: str | None = None) -> str | None:
    """Return what a budget left out, in words; None: nothing. ``coarser``: how numbers were written, if not finely."""
    told = [f"harmonics above degree {kept.sh_degree}"] if kept.sh_degree < want.sh_degree else []
    if len(kept) < len(want):
        told.append(f"the {len(want) - len(kept):,} least seen of {len(want):,} Gaussians")
    told = [" and ".join(told)] if told else []
    return "; ".join([*told, *([f"written with {coarser}"] if coarser else [])]) or None
