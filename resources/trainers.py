"""The trainers of this installation: ours, and those that others installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

from splat_pipeline.domain.errors import ToolMissing
from splat_pipeline.ports.training import SplatTrainer

GROUP = "splat_pipeline.trainers"
"""Entry points of this group name a ``SplatTrainer``, such as ``resources.command_trainer.CommandTrainer``."""
OURS = tuple(
    EntryPoint(name=name, value=value, group=GROUP)
    for name, value in {
        "cpu": "resources.cpu_trainer:TRAINER",
        "gsplat": "resources.gsplat_trainer:TRAINER",
        "nerfstudio": "resources.nerfstudio:SPLATFACTO",
        "nerfstudio-big": "resources.nerfstudio:SPLATFACTO_BIG",
        "nerfstudio-mcmc": "resources.nerfstudio:SPLATFACTO_MCMC",
        "gaussian-splatting": "resources.programs:GAUSSIAN_SPLATTING",
        "opensplat": "resources.programs:OPENSPLAT",
        "brush": "resources.programs:BRUSH",
    }.items()
)
"""Rows of the same table as those that are installed: loaded in the same way, and their names cannot be taken."""
AUTO, BY_ITSELF, ELSE = "auto", "gsplat", "cpu"
"""``auto`` is the second where it can be used, else the third."""


class InstalledTrainers:
    """Fulfils ``SplatTrainers``."""

    def __init__(self, points: Sequence[EntryPoint] = OURS) -> None:
        """``points``: trainers beside those that are installed."""
        self._ours = points

    @cached_property
    def _points(self) -> Mapping[str, EntryPoint]:
        installed = {point.name: point for point in entry_points(group=GROUP)}
        return {point.name: point for point in self._ours} | {
            name: point for name, point in installed.items() if name not in {ours.name for ours in self._ours}
        }

    @cached_property
    def name(self) -> str:
        """What ``auto`` stands for here: a result that it decided holds no longer where that has changed."""
        return self.chosen(AUTO)[0].name

    def names(self) -> Sequence[str]:
        """Return all names, ours first."""
        return tuple(self._points)

    def named(self, name: str) -> SplatTrainer:
        """Return one that can be used. Raises ``ToolMissing``: nothing takes the place of what was asked for."""
        trainer, reason = self.found(name)
        if trainer is None or reason is not None:
            raise ToolMissing(f"the trainer {name} cannot be used: {reason}", remedy=_remedy(name))
        return trainer

    def chosen(self, asked: str) -> tuple[SplatTrainer, str]:
        """Return the one that ``asked`` stands for, and why. Raises ``ToolMissing``."""
        if asked != AUTO:
            return self.named(asked), "asked for"
        trainer, reason = self.found(BY_ITSELF)
        if trainer is not None and reason is None:
            return trainer, "there is a GPU for it"
        return self.named(ELSE), f"{BY_ITSELF} cannot be used: {reason}"

    def found(self, name: str) -> tuple[SplatTrainer | None, str | None]:
        """Return a trainer, None where it cannot even be loaded, and why it cannot be used, None where it can."""
        if name not in self._points:
            return None, f"there is no such trainer, known are {', '.join(self._points)}"
        point = self._points[name]
        try:
            trainer: SplatTrainer = point.load()
            named, reason = trainer.name, trainer.unavailable()
        except Exception as error:  # noqa: BLE001  # a plugin may fail in any way; it is shown with its reason
            return None, f"{point.value}: {type(error).__name__}: {error}"
        if named != name:
            return None, f"{point.value} calls itself {named!r}"
        return trainer, reason


def listed() -> list[dict[str, str | bool | None]]:
    """Return name, kind, licence, available and reason of everything that ``training.trainer`` may name."""
    known = InstalledTrainers()
    rows: list[dict[str, str | bool | None]] = []
    for name in known.names():
        trainer, reason = known.found(name)
        rows.append(
            {
                "name": name,
                "kind": "trainer" if trainer is None else f"trainer, on the {trainer.device}",
                "available": trainer is not None and reason is None,
                "reason": reason,
                "licence": None if trainer is None else trainer.licence,
            }
        )
    return rows


def _remedy(name: str) -> str:
    return f"Do what the reason says, or ask for another trainer than {name}: splat backends lists them."
