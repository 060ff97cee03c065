"""The figures of a training: rates, schedules, thresholds, each with its unit and where it comes from.

"Reference" is the code of Kerbl et al. 2023. "Study" is what gave the best held-out PSNR at equal time on one scene (43
views of 270x480 px, 50,000 Gaussians, a minute on two cores): believe it to a tenth of a dB, not further.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrainRecipe:
    """What a trainer does with a plan. Shares are of the plan's iterations."""

    means_rate: float = 7.2e-4
    """Scene extents an iteration at the start. Reference 1.6e-4; the higher rates here and below gave +1.0 dB in 1,000
    iterations over those of the study (x2 here, x3 for rotations, all x1.5), and half as much again gave no more."""
    means_rate_end: float = 7.2e-6
    """The same at the end; exponential in between (reference)."""
    quats_rate: float = 7e-3
    """Of the four numbers, not an angle. Reference 1e-3."""
    scales_rate: float = 1.1e-2
    """Natural logarithms an iteration. Reference 5e-3."""
    opacity_rate: float = 0.11
    """Logits an iteration. Reference 5e-2."""
    color_rate: float = 5.6e-3
    """Degree 0 of the harmonics. Reference 2.5e-3."""
    detail_rate: float = 8e-4
    """Higher degrees of the harmonics. Reference: a twentieth of degree 0's, at every move."""
    anneal_from: float = 0.8
    anneal_to: float = 0.1
    """From that share on, all rates but the means' fall exponentially to this part of themselves: +0.2 to +0.35 dB."""
    detail_every: int = 2
    """Moves from one of the higher degrees to the next: as good as at every move, and a twentieth faster."""
    ssim_weight: float = 0.4
    """Share of 1 - SSIM in the loss at the whole resolution. Reference 0.2; beside the squares more of it pays."""
    coarse_ssim_weight: float = 0.2
    """The same at a quarter and at half of it: with more, few iterations for many views end 0.9 dB lower."""
    square_weight: float = 15.0
    """Of the mean squared difference in the loss, at the whole resolution alone: at the coarse ones it costs 0.1 dB.
    With all that came with it +0.1 to +0.6 dB on four clips; see the lab notes."""
    degree_every: float = 0.05
    """Share after which the harmonics' degree rises by one (study: early pays)."""
    quarter_until: float = 0.15
    half_until: float = 0.5
    """Shares up to which a quarter, a half of the resolution is trained (study: +1.1 dB at equal time)."""
    least_side_px: int = 32
    """No coarse level is smaller than this."""
    densify_from: float = 0.03
    densify_until: float = 0.8
    """Shares between which Gaussians are split (study)."""
    densify_power: float = 1.0
    """Growth towards the cap: share of the way to this power."""
    densify_events: int = 40
    """At most this many rounds of splitting and pruning."""
    densify_least: int = 25
    """Iterations between two rounds, at least: a score needs views."""
    settle_every: int = 4
    """Rounds of splitting after which neighbours in the world are laid side by side in memory."""
    child_offset: float = 0.5
    child_shrink: float = 0.6
    """A split moves the children by this many sigma along the longest axis, and scales that axis by this (study)."""
    child_opacity: float = 0.5
    """Opacity of a child as a share of its parent's (study)."""
    prune_opacity: float = 0.005
    """Gaussians more transparent than this go (reference)."""
    prune_weight: float = 0.05
    """Gaussians go of which no view shows more (the sum of their blending weights, pixels) than this share of what the
    median Gaussian shows: a fifth of all carried half a hundredth of the pictures, their places are worth more."""
    prune_seen: int = 3
    """... if as many views have seen them since the last round."""
    prune_extents: float = 2.0
    """Gaussians whose longest sigma exceeds this many scene extents go."""
    start_opacity: float = 0.1
    """Reference."""
    start_reach: float = 0.02
    """Sigma of a first Gaussian is at most this share of its distance to the nearest camera."""
    cover_share: float = 0.15
    """Share of the cap that points for the bare parts of the pictures may take."""
    least_weight: float = 0.002
    """Where a Gaussian weighs less than this throughout a block of pixels, the gradient leaves it out: a third of all
    blocks, a twelfth of a step, no difference in dB. See the lab notes."""
    least_points: int = 100
    """Below this, random points in the cameras' view are added."""
    random_share: float = 0.2
    """How many: share of the cap."""
    diverged_window: int = 50
    """Iterations after which a loss that is not finite, or has blown up, has been noticed."""
    trained_ratio: float = 0.95
    """The loss after training must be below this share of the loss before."""
    strategy: str = "ranked"
    """How Gaussians come and go: ranked or mcmc, see strategies.py."""
    mcmc_noise: float = 1.1e5
    """Noise of mcmc, over the means' rate: 5e5 at the reference's rate, which is 2/9 of the one here."""
    opacity_weight: float | None = None
    """Weight in the loss of the mean opacity of all Gaussians, at every resolution; felt by those that a view sees.
    None: the strategy's own."""
    scale_weight: float | None = None
    """The same of the mean standard deviation, in scene extents."""
    exposure: str = "none"
    """What is learned of each picture's exposure and white balance: none, gain or affine, see exposure.py."""
    exposure_rate: float = 1e-2
    exposure_rate_end: float = 1e-3
    """Of gains and offsets, a step of the picture, at the start and at the end; exponential in between."""
    exposure_weight: float = 1.0
    """Pull towards the neutral."""
    background: str = "random"
    """black, white, random, learned or #rrggbb: see background.py."""
    background_fade: float = 0.8
    """Share of the training after which a background is reached that stays, black in place of a random one: +0.15 to
    +0.3 dB on two scenes, as long as they are trained for some hundred iterations, when it begins with grey; with
    random colours +0.1 on one of two, and corners that few views show are filled."""
    background_rate: float = 1e-2
    """Of a learned background, sRGB an iteration at the start, falling to nothing at the end."""
    antialias: bool = False
    """Multiply opacities by rho of project.py: the 2D filter of Mip-Splatting."""
