"""An iterator that works ahead in a thread, so that native code on either side of it runs at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_END: Any = object()


def ahead(items: Iterable[T], *, depth: int) -> Iterator[T]:
    """Yield ``items`` in order, up to ``depth`` of them made before they are asked for.

    What making them raises is raised here, after those that came before.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as maker:
        waiting = deque(maker.submit(next, iterator, _END) for _ in range(depth))
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(maker.submit(next, iterator, _END))
                yield item
        finally:
            for ordered in waiting:
                ordered.cancel()
