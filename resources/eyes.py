"""How trained Gaussians are judged: by our own renderer, whoever has trained them, so that figures can be compared."""

from __future__ import annotations

from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.ports.training import TrainingViews


class OurEyes:
    """The half of ``SplatTrainer`` that looks at what came out."""

    def evaluate(self, gaussians: Gaussians, views: TrainingViews) -> list[tuple[float, float]]:
        """Return (PSNR in dB, SSIM) of each view."""
        from splat_pipeline.splatting.train import evaluate

        return evaluate(gaussians, views.images, views.views)

    def evaluate_corrected(self, gaussians: Gaussians, views: TrainingViews) -> list[float]:
        """Return the PSNR in dB of each view after the affine change of its colours that fits its image best."""
        from splat_pipeline.splatting.train import evaluate_corrected

        return evaluate_corrected(gaussians, views.images, views.views)
