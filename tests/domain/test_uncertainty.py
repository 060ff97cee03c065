"""Covariances and confidence, held against synthetic truth that was disturbed and adjusted again."""

import numpy as np
import pycolmap
import pytest

from splat_pipeline.domain.confidence import PoseSigma, confidence
from splat_pipeline.domain.evaluation import centers, trajectory_error
from splat_pipeline.domain.formats.colmap import read_model
from splat_pipeline.domain.poses import observe
from splat_pipeline.domain.rigid import angle_deg, rigid
from splat_pipeline.domain.uncertainty import pose_sigmas

IMAGES = 24
WEAK = range(0, IMAGES, 4)


def poses_of(theirs):
    return np.stack(
        [rigid((m := theirs.image(i).cam_from_world().matrix())[:, :3], m[:, 3]) for i in sorted(theirs.images)]
    )


def adjusted(folder, *, noise_seed, weak=(), kept=12, points=160, noise=1.0):
    """Disturb what a known scene shows, adjust it, and return the model as we read it, its poses and the true ones."""
    options = pycolmap.SyntheticDatasetOptions(num_rigs=1, num_frames_per_rig=IMAGES, num_points3D=points)
    pycolmap.set_random_seed(5)
    theirs = pycolmap.synthesize_dataset(options)
    truth = poses_of(theirs)
    ids = sorted(theirs.images)
    for position in weak:
        keypoints = [k for k, p in enumerate(theirs.image(ids[position]).points2D) if p.has_point3D()]
        for keypoint in keypoints[kept:]:
            theirs.delete_observation(ids[position], keypoint)
    rng = np.random.default_rng(noise_seed)
    for image in theirs.images.values():
        for point in image.points2D:
            point.xy = point.xy + rng.normal(scale=noise, size=2)
    adjusting = pycolmap.BundleAdjustmentOptions()
    adjusting.print_summary = False
    adjusting.ceres.solver_options.num_threads = 1
    pycolmap.bundle_adjustment(theirs, adjusting)
    theirs.update_point_3d_errors()
    folder.mkdir()
    theirs.write_binary(folder)
    return read_model(folder), poses_of(theirs), truth


def errors(found, truth):
    """(N,) degrees and (N,) distance of the centres, after alignment of the images that are well seen."""
    strong = [i for i in range(IMAGES) if i not in WEAK]
    align = trajectory_error(found[strong], truth[strong]).truth_from_estimate
    aligned = np.stack([align.pose(pose) for pose in found])
    turned = [angle_deg(a[:3, :3] @ b[:3, :3].T) for a, b in zip(aligned, truth, strict=True)]
    return np.array(turned), np.linalg.norm(centers(aligned) - centers(truth), axis=1)


def test_sigmas_are_the_spread_of_repeated_measurements(tmp_path):
    turned, away, promised = [], [], []
    for seed in range(12):
        model, found, truth = adjusted(tmp_path / str(seed), noise_seed=seed, weak=WEAK)
        rotation_deg, distance = errors(found, truth)
        turned.append(rotation_deg)
        away.append(distance)
        sigmas = pose_sigmas(model)
        promised.append([[sigmas[i].rotation_deg, sigmas[i].position] for i in sorted(model.images)])
    seen = np.stack([np.sqrt((np.array(values) ** 2).mean(0)) for values in (turned, away)], axis=1)
    told = np.mean(promised, axis=0)
    assert np.median(seen / told, axis=0) == pytest.approx([1, 1], abs=0.25)
    assert (seen / told).max() < 2.5
    assert (seen / told).min() > 0.4
    strong = [i for i in range(IMAGES) if i not in WEAK]
    assert (told[list(WEAK)].mean(0) > 2 * told[strong].mean(0)).all()


def test_confident_frames_are_nearer_the_truth_in_nine_of_ten_pairs(tmp_path):
    won, pairs = 0, 0
    for seed in range(6):
        model, found, truth = adjusted(tmp_path / str(seed), noise_seed=50 + seed, weak=WEAK, points=300)
        rotation_deg, distance = errors(found, truth)
        seen, sigmas = observe(model), pose_sigmas(model)
        trust = []
        for image_id in sorted(model.images):
            mine = seen.image_id == image_id
            trust.append(confidence(sigmas.get(image_id), int(mine.sum()), float(np.median(seen.angle_deg[mine]))))
        sure = np.array(trust) > 0.8
        assert 0 < sure.sum() < IMAGES
        for error in (rotation_deg, distance):
            better = error[sure][:, None] < error[~sure][None, :]
            won, pairs = won + int(better.sum()), pairs + better.size
    assert won >= 0.9 * pairs


def test_no_image_is_exact_because_it_defines_the_frame(tmp_path):
    model, _, _ = adjusted(tmp_path / "even", noise_seed=1)
    sigmas = np.array([[s.rotation_deg, s.position] for s in pose_sigmas(model).values()])
    assert (sigmas.max(0) < 4 * sigmas.min(0)).all()
    assert sigmas.min() > 0


def test_long_ones_are_cut_into_stretches(tmp_path, monkeypatch):
    model, _, _ = adjusted(tmp_path / "long", noise_seed=1)
    whole = pose_sigmas(model)
    monkeypatch.setattr("splat_pipeline.domain.uncertainty.AT_ONCE", 10)
    parts = pose_sigmas(model)
    assert parts.keys() == whole.keys()
    ratio = np.array([parts[i].rotation_deg / whole[i].rotation_deg for i in whole])
    assert ((ratio > 0.8) & (ratio < 4)).all(), "fewer images know less of each other"


def test_an_image_without_observations_has_none(tmp_path):
    model, _, _ = adjusted(tmp_path / "none", noise_seed=1, weak=[2], kept=2)
    assert set(model.images) - set(pose_sigmas(model)) == {sorted(model.images)[2]}


def test_confidence_falls_with_displacement_and_with_little_to_rest_on():
    def sigma(px):
        return PoseSigma(rotation_deg=0.1, position=0.1, displacement_px=px)

    assert confidence(sigma(0.1), 1000, 20.0) > 0.9
    assert confidence(sigma(0.5), 10**6, 1e6) == pytest.approx(0.8, abs=1e-3)
    assert confidence(sigma(0.1), 1000, 20.0) > confidence(sigma(0.6), 1000, 20.0) > confidence(sigma(3), 1000, 20.0)
    assert confidence(sigma(0.1), 8, 20.0) < 0.5
    assert confidence(sigma(0.1), 1000, 0.3) < 0.5
    assert confidence(sigma(0.1), 1000, 20.0, agreement=0.3) < 0.3
    assert confidence(None, 1000, 20.0) == 0
    assert confidence(sigma(0.1), 0, float("nan")) == 0
