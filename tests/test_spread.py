"""Components of carried cells, scaled until pairs are spread alike."""

import numpy as np
import pytest

from imap_keras import IMAP, integrate
from imap_keras.imap.balance import balanced_weights
from imap_keras.imap.spread import Spread, matched, spread_between
from imap_keras.nn.fitting import run


def two_clouds(n=400, seed=0):
    """Query cells whose first component is narrower than the anchor's and 3 away, pairs at random."""
    rng = np.random.default_rng(seed)
    anchor = rng.normal(0, [1.6, 1.0], (n, 2))
    query = rng.normal([3.0, 0.0], [1.0, 1.0], (n, 2))
    return np.concatenate([query, anchor]), np.stack([np.arange(n), n + rng.permutation(n)], axis=1)


def test_paired_cells_have_the_mean_and_the_spread_of_their_partners():
    points, pairs = two_clouds()
    weights = balanced_weights(pairs)
    scale, shift = spread_between(points, pairs, weights)
    assert scale == pytest.approx([1.6, 1], rel=0.1)
    query, anchor = points[pairs[:, 0]] * scale + shift, points[pairs[:, 1]]
    np.testing.assert_allclose(weights @ query, weights @ anchor, atol=1e-12)
    np.testing.assert_allclose(query.std(axis=0), anchor.std(axis=0), rtol=1e-9)


def test_pairs_count_by_their_weights():
    points = np.array([[0.0], [2.0], [10.0], [0.0], [1.0], [50.0]])
    pairs, weights = np.array([[0, 3], [1, 4], [2, 5]]), np.array([0.5, 0.5, 0.0])
    scale, shift = spread_between(points, pairs, weights)
    assert (scale, shift) == (pytest.approx([0.5]), pytest.approx([0.0]))


def test_no_component_is_scaled_by_more_than_two():
    points = np.array([[0.0, 0.0, 1.0], [1.0, 9.0, 1.0], [0.0, 0.0, 4.0], [9.0, 1.0, 4.0]])
    scale, shift = spread_between(points, np.array([[0, 2], [1, 3]]), np.array([0.5, 0.5]))
    assert scale[:2].tolist() == [2, 0.5]
    assert points[:2, 2] * scale[2] + shift[2] == pytest.approx([4, 4])  # one value: moved alone


def test_batches_without_a_spread_stay_as_they_are():
    points, labels = np.ones((3, 2), "float32"), np.array(["a", "b", "c"])
    found = matched(points, labels, {"b": Spread(np.array([2.0, 3.0]), np.array([1.0, -1.0]))})
    assert found.tolist() == [[1, 1], [3, 2], [1, 1]] and found.dtype == "float32"


def paired_spread(model, result):
    """Of each query batch: how the spreads of its paired cells compare with their partners'."""
    space, found = result.obsm["X_imap"].astype(float), {}
    for name, pairs in model.pairs.items():
        weights = balanced_weights(pairs)
        sides = [space[pairs[:, side]] for side in (0, 1)]
        off = [side - weights @ side for side in sides]
        found[name] = np.sqrt((weights @ off[0] ** 2) / (weights @ off[1] ** 2))
    return found


def test_a_fit_matches_spreads_batch_after_batch_and_not_the_expression(logged, tiny):
    short = tiny | {"few_cells": 0}
    models = {on: IMAP(**short, match_spread=on).fit(logged, verbose=0) for on in (True, False)}
    results = {on: model.transform(logged) for on, model in models.items()}
    assert models[False].spreads == {} and set(models[True].spreads) == set(models[True].order[1:])
    np.testing.assert_array_equal(results[True].layers["imap"], results[False].layers["imap"])
    for name, ratio in paired_spread(models[True], results[True]).items():
        far = np.abs(np.log(models[True].spreads[name].scale)) >= np.log(2) - 1e-9
        np.testing.assert_allclose(ratio[~far], 1, atol=1e-3)
    plain = paired_spread(models[False], results[False])
    assert max(np.abs(ratio - 1).max() for ratio in plain.values()) > 0.05
    # The anchor is where it was.
    anchor = (logged.obs["batch"] == models[True].order[0]).to_numpy()
    one, other = (results[on].obsm["X_imap"][anchor] for on in (True, False))
    np.testing.assert_array_equal(one, other)


def test_a_batch_that_the_mean_move_carries_is_not_scaled(logged, tiny):
    with pytest.warns(UserWarning, match="moved by the mean of its pairs alone"):
        model = IMAP(**tiny | {"few_cells": 10_000, "least_explained": 0.99}).fit(logged, verbose=0)
    assert set(model.pair_counts["carrier"]) == {"mean move"} and model.spreads == {}


def test_spreads_are_saved_and_earlier_models_have_none(logged, tiny, tmp_path):
    model = IMAP(**tiny | {"few_cells": 0}).fit(logged, verbose=0)
    model.save(tmp_path / "model")
    again = IMAP.load(tmp_path / "model").transform(logged).obsm["X_imap"]
    np.testing.assert_array_equal(again, model.transform(logged).obsm["X_imap"])
    state = model._state()
    del state["spreads"], state["hyperparameters"]["match_spread"]
    earlier = IMAP._restored(model._networks(), state)
    assert earlier.spreads == {} and not earlier.hyperparameters.match_spread
    np.testing.assert_array_equal(
        earlier.transform(logged).obsm["X_imap"], run(model.pca, carried(model, logged))
    )


def carried(model, adata):
    """Corrected expression before it is clipped."""
    model = IMAP._restored(model._networks(), model._state())
    model.hyperparameters = model.hyperparameters.changed(clip_output=False)
    return model.transform(adata).layers["imap"]


def test_the_reference_preset_matches_none():
    assert not IMAP(preset="reference").hyperparameters.match_spread
    assert IMAP().hyperparameters.match_spread


def test_integrate_is_told(logged, tiny):
    one, other = (
        integrate(logged, verbose=0, **tiny | {"few_cells": 0}, match_spread=on) for on in (True, False)
    )
    assert not np.array_equal(one.obsm["X_imap"], other.obsm["X_imap"])
