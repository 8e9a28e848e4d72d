"""Of few pairs the held-out ones choose: a generator, or the mean move."""

from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

import imap_keras
from imap_keras import IMAP, Hyperparameters
from imap_keras.imap import few_pairs
from imap_keras.imap.few_pairs import explained_share, mean_of, split_pairs, train_carrier

HP = Hyperparameters(walk_length=2, few_cells=50)


@pytest.fixture(scope="module", autouse=True)
def without_graphs(fitted, integrated):  # the shared fits come first, as other tests know them
    """Tiny trainings are over before TensorFlow has built the graph of a step."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def paired():
    """20 query cells with two pairs each, and 20 anchor cells: a type moves by its own step."""
    rng = np.random.default_rng(0)
    types = np.arange(20) % 2
    query = rng.normal(size=(20, 3)).astype("float32") + 9 * types[:, None].astype("float32")
    step = np.array([[1.0, 0.0, 2.0], [3.0, -4.0, 0.0]], "float32")
    cells = np.concatenate([query, query + step[types]])
    walks = [[(i, 20 + i), ((i + 2) % 20, 20 + (i + 2) % 20)] for i in range(20)]
    return cells, np.array(walks).reshape(-1, 2), step[types]


def moved(function) -> keras.Model:
    """A network that adds what a function of the cell says."""
    cells = keras.Input((3,))
    last = keras.layers.Dense(3, kernel_initializer="zeros")
    added = keras.layers.Lambda(function, output_shape=(3,))(cells)
    return keras.Model(cells, keras.layers.Add()([cells, added, last(cells)]))


def test_pairs_of_held_out_cells_leave_and_walks_stay_whole(paired):
    _, pairs, _ = paired
    kept, held = split_pairs(pairs, HP)
    assert held.sum() == 10 and len(np.unique(pairs[held, 0])) == 5
    assert not np.isin(pairs[held, 0], kept[:, 0]).any()
    walks = {frozenset(map(tuple, walk)) for walk in pairs.reshape(-1, 2, 2)}
    for walk in kept.reshape(-1, 2, 2):
        assert any({tuple(pair) for pair in walk} <= whole for whole in walks)
    again = split_pairs(pairs, HP)
    np.testing.assert_array_equal(again[0], kept)


def test_the_share_is_one_for_the_right_moves_zero_for_the_mean_and_below_for_wrong_ones(paired):
    cells, pairs, step = paired
    kept, held = split_pairs(pairs, HP)
    mean = mean_of(cells, kept, HP).astype("float32")
    right = moved(lambda x: tf.where(x[:, :1] > 4.5, step[1:2], step[:1]))
    told = cells, pairs, kept, held, HP
    assert explained_share(right, *told) == pytest.approx(1, abs=1e-5)
    assert explained_share(moved(lambda x: 0 * x + mean), *told) == pytest.approx(0, abs=1e-5)
    wrong = moved(lambda x: tf.where(x[:, :1] > 4.5, step[:1], step[1:2]))
    assert explained_share(wrong, *told) == pytest.approx(-3, abs=0.5)


def trained(share, paired, few_cells=50, carrier=None):
    """What is returned, and on which pairs stage II was trained, where held-out pairs say `share`."""
    cells, pairs, _ = paired
    calls = []

    def training(cells, pairs, query, *told):
        calls.append(pairs)
        return moved(lambda x: 0 * x + len(calls)), len(calls)

    with (
        mock.patch.object(few_pairs, "train_stage2", training),
        mock.patch.object(few_pairs, "explained_share", lambda *told: share),
    ):
        hp = HP.changed(few_cells=few_cells)
        return train_carrier(cells, pairs, np.arange(20), hp, carrier=carrier), calls


def test_a_generator_that_explains_enough_is_trained_on_all_pairs(paired):
    found, calls = trained(0.4, paired)
    assert [len(pairs) for pairs in calls] == [len(split_pairs(paired[1], HP)[0]), 40]
    assert found[1:] == (2, "generator", 0.4)
    np.testing.assert_array_equal(found.network(np.zeros((1, 3), "float32")), 2 * np.ones((1, 3)))


def test_one_that_does_not_gives_way_to_the_mean_move_of_all_pairs(paired):
    cells, pairs, step = paired
    found, calls = trained(0.39, paired)
    assert len(calls) == 1 and (found.carrier, found.explained) == ("mean move", 0.39)
    last = found.network.layers[
        [isinstance(x, keras.layers.Dense) for x in found.network.layers].index(True)
    ]
    np.testing.assert_array_equal(last.get_weights()[0], 0)
    np.testing.assert_allclose(last.get_weights()[1], mean_of(cells, pairs, HP), rtol=1e-6)
    np.testing.assert_allclose(mean_of(cells, pairs, HP), step.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("few_cells", [0, 20])
def test_many_pairs_are_never_asked(paired, few_cells):
    found, calls = trained(-9, paired, few_cells)
    assert len(calls) == 1 and len(calls[0]) == 40 and found.carrier == "generator"
    assert found.explained is None


def test_what_was_chosen_in_other_genes_is_not_asked_again(paired):
    found, calls = trained(-9, paired, carrier="generator")
    assert len(calls[0]) == 40 and found.carrier == "generator"
    found, calls = trained(9, paired, carrier="mean move")
    assert found.carrier == "mean move" and len(calls) == 1


def test_a_fit_says_what_carries_a_batch_and_does_it(logged, tiny):
    tiny.update(stage1_epochs=1, stage2_epochs=1, stage2_steps=3, few_cells=150)
    with pytest.warns(UserWarning, match=r"moved by the mean of its pairs alone; few_cells=0") as told:
        model = IMAP(**tiny).fit(logged, verbose=0)
    sentence = next(str(warning.message) for warning in told if "pairs" in str(warning.message))
    assert sentence.startswith(f"Batch '{model.order[1]}' has pairs for ")
    assert "beyond the mean move (least_explained=0.4)." in sentence
    assert model.pair_counts["carrier"].tolist() == ["mean move", "mean move"]
    move = model.transform(logged, keep=("imap",)).layers["imap"] - logged.X.toarray()
    first = (logged.obs["batch"] == model.order[1]).to_numpy()
    above = (logged.X.toarray()[first] > 1).all(axis=0)  # nowhere clipped
    assert above.any()
    assert np.ptp(move[first][:, above], axis=0).max() < 1e-5 < np.abs(move[first][:, above]).max()


def test_chunks_of_genes_are_carried_as_the_variable_ones(counts, tiny):

    cells = imap_keras.preprocess(counts, min_genes=5, n_top_genes=20, keep_all_genes=True, verbose=0)
    tiny.update(stage1_epochs=1, stage2_epochs=1, stage2_steps=3, few_cells=150)
    with pytest.warns(UserWarning, match="mean of its pairs alone"):
        model = IMAP(**tiny).fit(cells, genes="all", verbose=0)
    (chunk,) = model.chunks
    for network in chunk.generators.values():
        few = np.random.default_rng(0).normal(size=(5, len(chunk.genes))).astype("float32")
        moves = network(few).numpy() - few
        assert np.ptp(moves, axis=0).max() < 1e-5 < np.abs(moves).max()


def test_the_reference_never_asks():
    assert Hyperparameters.of("reference").few_cells == 0 and Hyperparameters().few_cells == 150
