"""The graph of similarities, on rings of frames with known drift, true and false loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from splat_pipeline.domain.pose_graph import Edge, close_loops, connected, difference, excess
from splat_pipeline.domain.rigid import Similarity


def similarity(rng, *, scale=0.0, turn=0.0, shift=0.0):
    return Similarity(
        scale=float(np.exp(scale * rng.normal())),
        rotation=Rotation.from_rotvec(turn * rng.normal(size=3)).as_matrix(),
        translation=shift * rng.normal(size=3),
    )


def ring(count, *, laps=1.0, radius=None):
    """Frames around a ring, two units apart."""
    radius = radius or count / laps / np.pi
    out = []
    for angle in np.linspace(0, 2 * np.pi * laps, count):
        rotation = Rotation.from_rotvec([0, 0, angle]).as_matrix()
        out.append(Similarity(scale=1.0, rotation=rotation, translation=radius * rotation[:, 0]))
    return out


def edge(truth, i, j, *, sequential=True, inliers=200, noise=None):
    between = truth[i].inverse() @ truth[j]
    return Edge(
        first=i, second=j, first_from_second=between @ noise if noise else between, inliers=inliers,
        sequential=sequential,
    )  # fmt: skip


def chain(truth, rng):
    noise = [similarity(rng, scale=0.02, turn=0.006, shift=0.02) for _ in truth]
    return [edge(truth, i, i + 1, noise=noise[i]) for i in range(len(truth) - 1)]


def error(poses, truth):
    """Root mean square distance of the frames, aligned at the first one."""
    found = np.array([poses[i].translation for i in range(len(truth))])
    true = np.array([(truth[0].inverse() @ pose).translation for pose in truth])
    return float(np.sqrt(((found - true) ** 2).sum(1).mean()))


def test_without_noise_the_chain_is_the_truth():
    truth = ring(12)
    closed = close_loops([edge(truth, i, i + 1) for i in range(11)], 0)
    assert error(closed.before, truth) < 1e-9
    assert error(closed.after, truth) < 1e-6
    assert not closed.loops


@pytest.mark.parametrize("seed", range(4))
def test_a_true_loop_takes_most_of_the_drift_away(seed):
    rng, truth = np.random.default_rng(seed), ring(30)
    loops = [edge(truth, i, 27 + i, sequential=False) for i in range(3)]
    closed = close_loops([*chain(truth, rng), *loops], 0)
    assert len(closed.loops) == 3
    assert error(closed.after, truth) < 0.6 * error(closed.before, truth)
    gap = difference(loops[0].first_from_second, closed.after[0].inverse() @ closed.after[27])
    assert np.linalg.norm(gap[4:]) < 0.2


@pytest.mark.parametrize("seed", range(4))
def test_a_false_loop_changes_nothing(seed):
    rng, truth = np.random.default_rng(seed), ring(30)
    edges = chain(truth, rng)
    true = [edge(truth, i, 27 + i, sequential=False) for i in range(3)]
    false = Edge(
        first=3, second=14, first_from_second=Similarity.identity(), inliers=5000, sequential=False
    )  # the place at 3 looks like the one at 14
    with_it, without = close_loops([*edges, *true, false], 0), close_loops([*edges, *true], 0)
    assert [(e.first, e.second) for e in with_it.loops] == [(0, 27), (1, 28), (2, 29)]
    assert error(with_it.after, truth) == error(without.after, truth)
    alone = close_loops([*edges, false], 0)
    assert not alone.loops
    assert error(alone.after, truth) == pytest.approx(error(alone.before, truth), abs=1e-3)


def test_of_loops_that_contradict_each_other_the_better_supported_are_believed():
    """Both are within what so long a chain could drift: only their disagreement tells."""
    rng, truth = np.random.default_rng(0), ring(30)
    true = [edge(truth, i, 27 + i, sequential=False, inliers=150) for i in range(3)]
    wrong = similarity(rng, turn=0.2, shift=3.0)
    false = edge(truth, 0, 28, sequential=False, inliers=250, noise=wrong)
    assert excess(difference(false.first_from_second, truth[0].inverse() @ truth[28]), 28) <= 1
    assert excess(difference(Similarity.identity(), wrong), 2) > 1
    closed = close_loops([*chain(truth, rng), *true, false], 0)
    assert [(e.first, e.second) for e in closed.loops] == [(0, 27), (1, 28), (2, 29)]


def test_two_chains_are_joined_by_what_ties_them_and_frames_without_tie_are_left_out():
    truth = ring(12)
    edges = [edge(truth, i, i + 1) for i in range(10) if i != 4]
    tie = edge(truth, 2, 8, sequential=False)
    closed = close_loops([*edges, tie], 0)
    assert sorted(closed.after) == list(range(11)), "11 is tied to nothing"
    assert error(closed.after, truth[:11]) < 1e-6
    assert sorted(connected(edges, 0)) == [0, 1, 2, 3, 4]


def test_an_edge_reversed_says_the_same():
    truth = ring(5)
    there = edge(truth, 1, 3)
    back = there.reversed()
    assert (back.first, back.second) == (3, 1)
    around = there.first_from_second @ back.first_from_second
    np.testing.assert_allclose(difference(Similarity.identity(), around), 0, atol=1e-12)


def test_steady_drift_falls_to_a_fifth_by_one_loop():
    truth, shift = ring(30), np.array([0.01, 0.0, 0.02])
    bend = Similarity(scale=1.004, rotation=Rotation.from_rotvec([0, 0.002, 0.006]).as_matrix(), translation=shift)
    edges = [edge(truth, i, i + 1, noise=bend) for i in range(29)]
    closed = close_loops([*edges, edge(truth, 0, 28, sequential=False), edge(truth, 1, 29, sequential=False)], 0)
    assert error(closed.after, truth) < 0.2 * error(closed.before, truth)
