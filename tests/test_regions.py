"""Region classifiers: names, simulator, split, optimiser, best epoch, ranks, save and load."""

import anndata
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from anndata import AnnData

from imap_keras import regions
from imap_keras.nn.callbacks import BestEpoch
from imap_keras.nn.estimator import NotFittedError
from imap_keras.regions import RegionClassifier

SMALL = {"hidden": (32, 16), "learning_rate": 5e-3, "epochs": 8, "batch_size": 32}


@pytest.fixture(scope="module")
def species():
    """22 human and 29 mouse regions, 100 genes. Shared: copy before changing it."""
    return regions.simulate_species(
        "subcortex", n_cells=660, n_genes=100, n_donors=5, n_mouse_cells=290, seed=3
    )


@pytest.fixture(scope="module")
def fitted(species):
    return RegionClassifier(**SMALL).fit(species[0], verbose=0)


# ------------------------------------------------------------------ names and pairs


def test_regions_are_those_of_the_two_atlases():
    sizes = {
        (part, name): regions.region_table(part, name)["region"].nunique()
        for part in regions.PARTS
        for name in ("human", "mouse")
    }
    assert sizes == {
        ("cortex", "human"): 105,
        ("cortex", "mouse"): 39,
        ("subcortex", "human"): 22,
        ("subcortex", "mouse"): 29,
        ("brain", "human"): 127,
        ("brain", "mouse"): 68,
    }


def test_pairs_name_known_regions_and_none_twice():
    for part, number in (("cortex", 41), ("subcortex", 9), ("brain", 50)):
        pairs = regions.homologous_pairs(part)
        assert len(pairs) == number and not pairs.duplicated().any()
        names = [regions.region_table(part, name)["region"] for name in ("human", "mouse")]
        regions.check_pairs(pairs, *names)
    first, last = regions.homologous_pairs("brain").iloc[[0, -1]].to_numpy().tolist()
    assert first == ["cortex", "PL", "A32p"] and last == ["subcortex", "MED", "mPFtha"]


def test_an_unknown_part_or_species_is_named():
    with pytest.raises(ValueError, match="part='cerebellum' is unknown"):
        regions.homologous_pairs("cerebellum")
    with pytest.raises(ValueError, match="species='rat' is unknown"):
        regions.region_table("cortex", "rat")


# ------------------------------------------------------------------ simulator


def test_simulated_species_have_their_regions_donors_and_seed(species):
    human, mouse = species
    assert human.shape == (660, 100) and mouse.shape == (290, 100)
    for adata, name, donors in ((human, "human", 5), (mouse, "mouse", 3)):
        assert list(dict.fromkeys(adata.obs["region"])) == list(
            regions.region_table("subcortex", name)["region"]
        )
        table = adata.obs.groupby(["region", "donor"], observed=False).size()
        assert table.min() >= 1 and len(table) == adata.obs["region"].nunique() * donors
        assert adata.X.dtype == np.float32 and adata.X.min() >= 0
    again = regions.simulate_species("subcortex", 660, 100, 5, n_mouse_cells=290, seed=3)
    np.testing.assert_array_equal(again[0].X, human.X)
    np.testing.assert_array_equal(again[1].X, mouse.X)
    other = regions.simulate_species("subcortex", 660, 100, 5, n_mouse_cells=290, seed=4)
    assert not np.array_equal(other[0].X, human.X)


def test_default_gene_numbers_are_the_papers():
    human, _ = regions.simulate_species("subcortex", n_cells=22, n_donors=1, n_mouse_cells=29, n_mice=1)
    assert human.shape == (22, 5063)
    human, _ = regions.simulate_species("cortex", n_cells=105, n_donors=1, n_mouse_cells=39, n_mice=1)
    assert human.shape == (105, 4542)


def test_homologues_are_alike_only_as_far_as_loadings_are_conserved():
    """With many cells and full conservation raw expression finds nearly every homologue."""
    pairs, ranks = regions.homologous_pairs("subcortex"), {}
    for conservation in (0.0, 1.0):
        human, mouse = regions.simulate_species(
            "subcortex", 4400, 400, 20, 2900, n_mice=20, conservation=conservation
        )
        averages = [regions.region_averages(adata) for adata in (human, mouse)]
        ranks[conservation] = regions.mean_rank(*averages, pairs)
    assert ranks[1.0] <= 2 < 6 <= ranks[0.0]


def test_cells_of_a_region_vary_as_much_as_asked(species):
    """More variance within regions, the same regions."""
    human, _ = regions.simulate_species(
        "subcortex", 660, 100, 5, n_mouse_cells=290, cell_variation=3.0, seed=3
    )
    within = [
        pd.DataFrame(adata.X).groupby(adata.obs["region"].to_numpy()).var().to_numpy().mean()
        for adata in (species[0], human)
    ]
    assert within[1] - within[0] == pytest.approx(3.0**2 * 0.7**2, rel=0.25)
    assert list(human.obs["region"]) == list(species[0].obs["region"])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n_cells": 0}, "n_cells=0"),
        ({"n_mice": 0}, "n_mice=0"),
        ({"conservation": 1.5}, "conservation=1.5 must lie between 0 and 1"),
        ({"cell_variation": -1}, "cell_variation=-1 must be 0 or more"),
        ({"part": "spine"}, "part='spine' is unknown"),
    ],
)
def test_the_simulator_refuses_what_makes_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        regions.simulate_species(**{"part": "subcortex", **options})


# ------------------------------------------------------------------ split by donor


def test_whole_donors_validate_in_every_region():
    rng = np.random.default_rng(0)
    names, donors = rng.choice(list("ABC"), 600), rng.choice(np.arange(20), 600)
    held_out = regions.hold_out_donors(names, donors, share=0.1, seed=1)
    for name in "ABC":
        inside = set(donors[(names == name) & held_out])
        assert len(inside) == 2  # a tenth of 20
        assert not inside & set(donors[(names == name) & ~held_out])
    np.testing.assert_array_equal(held_out, regions.hold_out_donors(names, donors, 0.1, 1))
    assert not np.array_equal(held_out, regions.hold_out_donors(names, donors, 0.1, 2))


def test_too_few_donors_are_counted_and_named(species):
    with pytest.raises(ValueError, match=r"Region 'B' has rows of 1 donor\(s\) \(x\).*at least 2"):
        regions.hold_out_donors(["A", "A", "B", "B"], ["x", "y", "x", "x"])
    with pytest.raises(ValueError, match=r"Region 'A' has rows of 2 donor\(s\).*at least 3"):
        regions.hold_out_donors(["A", "A"], ["x", "y"], share=0.9)
    human = species[0].copy()
    human.obs["donor"] = "the only one"
    with pytest.raises(ValueError, match=r"rows of 1 donor\(s\) \(the only one\)"):
        RegionClassifier().fit(human, verbose=0)
    with pytest.raises(ValueError, match="share=1.5 must lie between 0 and 1"):
        regions.hold_out_donors(["A"], ["x"], share=1.5)


# ------------------------------------------------------------------ the network


def test_network_is_the_papers():
    network = regions.build_region_classifier(4542, 105)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["InputLayer"] + ["Dense", "Dropout"] * 3 + ["Dense"]
    dense = [layer for layer in network.layers if type(layer).__name__ == "Dense"]
    assert [layer.units for layer in dense] == [500, 500, 500, 105]
    assert [keras.activations.serialize(layer.activation) for layer in dense] == ["relu"] * 3 + [
        "linear"
    ]
    assert {layer.rate for layer in network.layers if type(layer).__name__ == "Dropout"} == {0.1}
    expected = 4542 * 500 + 500 + 2 * (500 * 500 + 500) + 500 * 105 + 105
    assert network.count_params() == expected


def test_defaults_are_the_papers():
    assert RegionClassifier().hyperparameters.as_dict() == {
        "hidden": [500, 500, 500],
        "dropout": 0.1,
        "dropped": "units",
        "learning_rate": 6e-5,
        "decay": 0.8,
        "decay_every": 20,
        "weight_decay": 1e-6,
        "corrected_epsilon": False,
        "batch_size": 256,
        "epochs": 50,
        "patience": 5,
        "keep_best": True,
        "validation_share": 0.1,
        "seed": 0,
    }


def test_adamw_takes_the_step_computed_by_hand():
    """Decoupled decay, in whichever Keras is installed: w (1 - lr wd) - lr m / (sqrt(v) + eps)."""
    learning_rate, decay, weights = 0.1, 0.3, np.array([2.0, -1.0], "float32")
    optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=decay, epsilon=1e-8, name="by_hand")
    variable = tf.Variable(weights)
    m = v = np.zeros(2)
    for step, gradient in enumerate(([0.5, -2.0], [0.1, 1.0]), start=1):
        gradient = np.array(gradient)
        optimizer.apply_gradients([(tf.constant(gradient, tf.float32), variable)])
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        change = (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        weights = weights * (1 - learning_rate * decay) - learning_rate * change
        np.testing.assert_allclose(variable.numpy(), weights, rtol=1e-5)


def test_learning_rate_falls_every_twenty_epochs():
    rates = [regions.step_schedule(epoch) for epoch in (0, 19, 20, 39, 40)]
    np.testing.assert_allclose(rates, [6e-5, 6e-5, 4.8e-5, 4.8e-5, 3.84e-5])


def test_the_optimiser_used_the_schedule(species):
    model = RegionClassifier(**{**SMALL, "epochs": 3}, decay=0.5, decay_every=1)
    model.fit(species[0], verbose=0)
    np.testing.assert_allclose(model.history["learning_rate"], [5e-3, 2.5e-3, 1.25e-3])
    rate = float(np.asarray(model.network.optimizer.learning_rate))
    assert rate == pytest.approx(1.25e-3, rel=1e-5)


@pytest.mark.parametrize(
    "losses, stops_after, best",
    [([3, 2, 2.5, 2.4, 2.2], 4, 1), ([3, 2, 1], 3, 2), ([3, 4, 2, 2, 2], 5, 2)],
)
def test_best_epoch_stops_and_gives_back_its_weights(losses, stops_after, best):
    class Model:
        stop_training, weights = False, None

        def get_weights(self):
            return self.weights

        def set_weights(self, weights):
            self.weights = weights

    callback = BestEpoch(patience=2)
    model = Model()
    callback.set_model(model)
    for epoch, loss in enumerate(losses):
        model.weights = epoch
        callback.on_epoch_end(epoch, {"val_loss": loss})
        if model.stop_training:
            break
    callback.on_train_end()
    assert epoch + 1 == stops_after
    assert callback.epoch == model.weights == best


# ------------------------------------------------------------------ fit


def test_a_fit_learns_and_keeps_the_best_epoch(fitted, species):
    history = fitted.history
    assert fitted.best_epoch == history["val_loss"].argmin() + 1
    assert history["loss"].iloc[-1] < 0.8 * history["loss"].iloc[0]
    held_out = species[0][fitted.held_out]
    right = np.mean(fitted.predict(held_out) == held_out.obs["region"].to_numpy())
    assert right == pytest.approx(fitted.validation_accuracy, abs=1e-6)
    assert right >= 3 / 22


def test_scaler_is_of_the_training_rows_alone(species):
    """What the validation rows hold changes neither scaler nor weights."""
    human = species[0].copy()
    first = RegionClassifier(**{**SMALL, "epochs": 1}).fit(human, verbose=0)
    expected = human.X[~first.held_out]
    np.testing.assert_allclose(first.mean, expected.mean(0), rtol=1e-4)
    np.testing.assert_allclose(first.deviation, expected.std(0), rtol=1e-4)
    human.X[first.held_out] += 100
    second = RegionClassifier(**{**SMALL, "epochs": 1}).fit(human, verbose=0)
    np.testing.assert_array_equal(second.mean, first.mean)
    for left, right in zip(first.network.get_weights(), second.network.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_the_same_seed_gives_the_same_network_and_another_another(species):
    models = []
    for seed, session in ((0, 7), (0, 8), (1, 8)):
        keras.utils.set_random_seed(session)  # the session's random state must not matter
        model = RegionClassifier(**{**SMALL, "epochs": 2}, seed=seed)
        models.append(model.fit(species[0], verbose=0))
    first, second, third = (model.network.get_weights() for model in models)
    for left, right in zip(first, second, strict=True):
        np.testing.assert_array_equal(left, right)
    assert not np.array_equal(first[0], third[0])
    assert not np.array_equal(models[0].held_out, models[2].held_out)


def test_embedding_is_the_last_hidden_layer_by_hand(fitted, species):
    averages = regions.region_averages(species[1])
    expected = averages.to_numpy()
    for name in ("hidden_1", "embedding"):
        kernel, bias = fitted.network.get_layer(name).get_weights()
        expected = np.maximum(expected @ kernel + bias, 0)
    embedded = fitted.embed(averages)
    np.testing.assert_allclose(embedded.to_numpy(), expected, rtol=1e-4, atol=1e-5)
    assert list(embedded.index) == list(regions.region_table("subcortex", "mouse")["region"])


def test_a_saved_classifier_is_the_same(fitted, species, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = RegionClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(species[0]), fitted.predict(species[0]))
    averages = regions.region_averages(species[0])
    pd.testing.assert_frame_equal(loaded.embed(averages), fitted.embed(averages))
    pd.testing.assert_frame_equal(loaded.history, fitted.history)
    np.testing.assert_array_equal(loaded.held_out, fitted.held_out)
    assert (loaded.hyperparameters, loaded.regions) == (fitted.hyperparameters, fitted.regions)
    assert loaded.validation_accuracy == fitted.validation_accuracy
    assert not list(tmp_path.rglob("*.pkl"))


def test_sparse_and_negative_cells_are_fine(species, fitted):
    from scipy import sparse

    human = species[0].copy()
    human.X = sparse.csr_matrix(human.X)
    np.testing.assert_array_equal(fitted.predict(human), fitted.predict(species[0]))
    human.X = species[0].X - 5  # centred, as after an integration
    shifted = RegionClassifier(**SMALL).fit(human, verbose=0)
    np.testing.assert_allclose(shifted.mean, fitted.mean - 5, atol=1e-4)
    assert shifted.validation_accuracy == pytest.approx(fitted.validation_accuracy, abs=0.15)


def test_bad_input_is_told_before_training(species, fitted):
    human = species[0].copy()
    with pytest.raises(KeyError, match="region_key='area' is not a column"):
        RegionClassifier().fit(human, region_key="area")
    with pytest.raises(KeyError, match="donor_key='subject' is not a column"):
        RegionClassifier().fit(human, donor_key="subject")
    human.X[3, 4] = np.nan
    with pytest.raises(ValueError, match="1 NaN or infinite"):
        RegionClassifier().fit(human)
    one = species[0][species[0].obs["region"] == "CA1"]
    with pytest.raises(ValueError, match="All rows are of region 'CA1'"):
        RegionClassifier().fit(one)
    missing = "1 of the 100 fitted genes are missing, the first is 'gene_0'"
    with pytest.raises(ValueError, match=missing):
        fitted.predict(species[0][:, 1:])
    averages = regions.region_averages(species[1])
    with pytest.raises(ValueError, match=missing):
        fitted.embed(averages[fitted.genes[1:]])
    averages.iloc[2, 5] = np.inf
    with pytest.raises(ValueError, match="1 NaN or infinite"):
        fitted.embed(averages)
    with pytest.raises(NotFittedError, match="not fitted yet; call fit"):
        RegionClassifier().predict(species[0])
    with pytest.raises(NotFittedError, match="not fitted yet"):
        print(RegionClassifier().validation_loss)
    with pytest.raises(TypeError, match="'learning_rat'.*mean 'learning_rate'"):
        RegionClassifier(learning_rat=1)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"hidden": ()}, "hidden"),
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": 2.5}, "epochs=2.5 must be a whole number of at least 1"),
        ({"hidden": (16, 8.5)}, "hidden=.* must be one or more whole numbers"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"learning_rate": 0}, "learning_rate=0"),
        ({"validation_share": 1}, "validation_share=1"),
        ({"weight_decay": -1}, "weight_decay=-1"),
    ],
)
def test_numbers_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        RegionClassifier(**options)


# ------------------------------------------------------------------ averages, maps, ranks


def test_averages_are_standardised_by_hand():
    adata = anndata.AnnData(
        np.array([[1.0, 5], [3, 5], [5, 5], [7, 5]], "float32"),
        obs=pd.DataFrame({"region": ["b", "b", "a", "a"]}, index=list("wxyz")),
    )
    averages = regions.region_averages(adata)
    assert list(averages.index) == ["b", "a"]
    np.testing.assert_allclose(averages, [[-2 / np.sqrt(5), 0], [2 / np.sqrt(5), 0]], rtol=1e-6)


def test_correlation_map_is_numpys():
    rng = np.random.default_rng(0)
    human = pd.DataFrame(rng.normal(size=(4, 9)), list("ABCD"))
    mouse = pd.DataFrame(rng.normal(size=(3, 9)), list("abc"))
    expected = np.corrcoef(human, mouse)[:4, 4:]
    np.testing.assert_allclose(regions.correlation_map(human, mouse), expected, rtol=1e-10)
    human.loc["A"] = 1.0  # a dead embedding
    assert (regions.correlation_map(human, mouse).loc["A"] == 0).all()
    with pytest.raises(ValueError, match="9 features and mouse 8"):
        regions.correlation_map(human, mouse.iloc[:, :8])


def test_ranks_equal_a_table_made_by_hand():
    correlation = pd.DataFrame(
        {"a": [0.9, 0.2, 0.5, -0.1], "b": [0.3, 0.3, 0.8, 0.1], "c": [-0.4, -0.2, -0.3, -0.1]},
        index=["A", "B", "C", "D"],
    )
    pairs = pd.DataFrame(
        [
            ("a", "A"),
            ("a", "B"),
            ("a", "D"),
            ("b", "C"),
            ("b", "A"),
            ("b", "B"),
            ("c", "D"),
            ("c", "A"),
        ],
        columns=["mouse_region", "human_region"],
    )
    # Sorted: a: A C B D; b: C, then A and B share 2 and 3, D; c: D B C A.
    table = regions.pair_ranks(correlation, pairs)
    assert table["rank"].tolist() == [1, 3, 4, 1, 2.5, 2.5, 1, 4]
    assert table["correlation"].tolist() == [0.9, 0.2, -0.1, 0.8, 0.3, 0.3, -0.1, -0.4]
    assert table["rank"].mean() == 19 / 8


def test_a_map_that_knows_nothing_has_the_chance_rank():
    for number, chance in ((105, 53.0), (22, 11.5)):
        names = [f"region_{i}" for i in range(number)]
        correlation = pd.DataFrame(np.zeros((number, 1)), index=names, columns=["a"])
        pairs = pd.DataFrame({"mouse_region": ["a", "a"], "human_region": [names[0], names[-1]]})
        assert regions.pair_ranks(correlation, pairs)["rank"].tolist() == [chance, chance]
        assert regions.chance_rank(number) == chance


def test_unknown_regions_in_pairs_are_counted_and_named():
    correlation = pd.DataFrame(np.eye(2), index=["A4ul", "A4ll"], columns=["MOp", "MOs"])
    pairs = pd.DataFrame({"mouse_region": ["MOp", "M0p"], "human_region": ["A4ul", "A4lll"]})
    with pytest.raises(ValueError, match=r"1 regions in human_region.*'A4lll'.*mean 'A4ll'\?"):
        regions.pair_ranks(correlation, pairs)
    pairs["human_region"] = "A4ul"
    with pytest.raises(ValueError, match=r"mouse_region.*not in the mouse data: 'M0p'.*'MOp'\?"):
        regions.pair_ranks(correlation, pairs)
    with pytest.raises(KeyError, match="no column 'human_region'"):
        regions.pair_ranks(correlation, pairs[["mouse_region"]])
    with pytest.raises(ValueError, match="empty"):
        regions.pair_ranks(correlation, pairs.iloc[:0])


def test_a_mean_rank_does_not_pass_over_regions_without_values():
    human = pd.DataFrame([[1.0, 2.0, 4.0], [3.0, 1.0, 2.0]], ["A", "B"])
    pairs = pd.DataFrame({"mouse_region": ["a", "b"], "human_region": ["A", "B"]})
    mouse = pd.DataFrame([[1.0, 2.0, 3.0], [np.nan, 1.0, 2.0]], ["a", "b"])
    with pytest.raises(ValueError, match="mouse holds 1 NaN or infinite values"):
        regions.mean_rank(human, mouse, pairs)


def test_values_too_large_for_float32_are_said_before_training():
    human, _ = regions.simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    model = RegionClassifier(hidden=(8, 4), epochs=1).fit(human, verbose=0)
    large = human.copy()
    large.X = large.X.astype(float)
    large.X[0, 0] = 1e300
    for use in (model.fit, model.predict, regions.region_averages):
        with pytest.raises(ValueError, match="as float32 holds 1 NaN or infinite"):
            use(large)


def test_rows_of_a_backed_file_are_named_with_further_genes(tmp_path):
    human, _ = regions.simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    model = RegionClassifier(hidden=(8, 4), epochs=1).fit(human, verbose=0)
    more = AnnData(
        np.column_stack([np.ones(human.n_obs), human.X]),
        obs=human.obs,
        var=pd.DataFrame(index=["other", *human.var_names]),
    )
    more.write_h5ad(tmp_path / "more.h5ad")
    backed = anndata.read_h5ad(tmp_path / "more.h5ad", backed="r")
    order = np.random.default_rng(0).permutation(human.n_obs)
    assert np.array_equal(model.predict(backed[order]), model.predict(human)[order])
    backed.file.close()
