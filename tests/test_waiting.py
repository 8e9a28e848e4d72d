"""A batch of which few cells have a pair waits until the others have joined the anchor."""

import numpy as np
import pytest
from anndata import AnnData

from imap_keras import IMAP
from imap_keras.imap.hyperparameters import REFERENCE, Hyperparameters
from imap_keras.imap.merging import merge_batches
from imap_keras.imap.pairs import NoPairsError
from imap_keras.imap.training import Found, find_pairs

TINY = dict(
    latent_dim=3, hidden=(6,), critic_hidden=(6,), stage1_epochs=1, stage1_steps=2, stage1_rows=8,
    stage2_epochs=1, stage2_steps=3, stage2_rows=8, critic_steps=2, k1=5, k2=5, walk_length=3,
    few_cells=0, n_components=3, pair_space="pca", search="exact",
)  # fmt: skip
# Types of each batch. a and b have none in common; c has all, most of its cells are of one.
TYPES = {"a": (0, 1), "b": (2, 3), "c": (0,) * 8 + (1, 2, 3)}


def chain(types=TYPES, n=20):
    """So many cells of each type named, 12 genes; every batch is shifted its own way."""
    rng, cells, batch, kind = np.random.default_rng(8), [], [], []
    centres = rng.uniform(0, 4, (4, 12))
    for number, (name, own) in enumerate(types.items()):
        shift = rng.uniform(0, 0.5, 12)
        for k in own:
            noise = rng.normal(0, 0.3 - 0.05 * number, (n, 12))
            cells.append(np.maximum(centres[k] + shift + noise, 0))
            batch += [name] * n
            kind += [f"type_{k}"] * n
    made = AnnData(np.concatenate(cells).astype("float32"))
    made.obs = made.obs.assign(batch=batch, cell_type=kind)
    return made


def alike(names):
    """Batches that have the same two types."""
    return chain(dict.fromkeys(names, (0, 1)))


def merged(cells, order, hp=None, **told):
    labels = cells.obs["batch"].to_numpy().astype(str)
    hp = hp or Hyperparameters(**TINY)
    return merge_batches(cells.X.copy(), labels, cells.X.copy(), order, hp, **told)


@pytest.fixture
def asked(monkeypatch):
    """Whom each search asks, query batch and anchor, and pairs for as many cells as `shares` says."""

    def of(batch, shares):
        seen = []

        def few(content, cells, query, anchor, hp, number, *others):
            name = str(batch[query[0]])
            seen.append((name, sorted({str(b) for b in batch[anchor]})))
            share = shares[name].pop(0)
            if share is None:
                raise NoPairsError("none")
            some = np.repeat(query[: round(share * len(query))], hp.walk_length)
            return Found(np.column_stack([some, np.resize(anchor, len(some))]), 9)

        monkeypatch.setattr("imap_keras.imap.query_batch.find_pairs", few)
        return seen

    return of


def test_a_batch_without_a_common_type_meets_the_one_that_has_all(eagerly):
    cells = chain()
    found = merged(cells, ["a", "b", "c"])
    assert found.pair_counts["batch"].tolist() == ["c", "b"]
    assert (found.pair_counts["carrier"] == "generator").all()
    kind, batch = cells.obs["cell_type"].to_numpy(), cells.obs["batch"].to_numpy()
    of_b = found.pairs["b"]
    assert set(batch[of_b[:, 1]]) == {"c"}
    assert (kind[of_b[:, 0]] == kind[of_b[:, 1]]).mean() > 0.9


@pytest.mark.parametrize(
    "told", [{"hp": Hyperparameters(**TINY, least_paired=0)}, {"keep_order": True}]
)
def test_nobody_waits_at_0_or_where_the_order_is_kept(told, eagerly):
    with pytest.warns(UserWarning, match="'b' is left as it is"):
        found = merged(chain(), ["a", "b", "c"], **told)
    assert found.pair_counts["batch"].tolist() == ["b", "c"]
    assert found.pair_counts["carrier"].tolist() == ["nothing", "generator"]


def test_the_paper_lets_nobody_wait():
    assert REFERENCE["least_paired"] == 0
    assert Hyperparameters().least_paired == 0.5


def test_exactly_the_named_share_is_enough(asked, eagerly):
    cells = alike("abc")
    batch = cells.obs["batch"].to_numpy()
    for share, order in ((0.5, ["b", "c"]), (0.475, ["c", "b"])):
        asked(batch, {"b": [share, 1], "c": [1]})
        assert merged(cells, ["a", "b", "c"]).pair_counts["batch"].tolist() == order


@pytest.mark.filterwarnings("ignore:Batch 'b' is left")
def test_those_that_wait_are_asked_once_more_the_largest_share_first(asked, eagerly):
    cells = alike("abcde")
    shares = {"b": [0, 0], "c": [0.2, 0.1], "d": [1], "e": [0.3, 0.1]}
    seen = asked(cells.obs["batch"].to_numpy(), shares)
    found = merged(cells, ["a", "b", "c", "d", "e"])
    assert seen == [
        ("b", ["a"]),
        ("c", ["a"]),
        ("d", ["a"]),
        ("e", ["a", "d"]),
        ("e", ["a", "d"]),
        ("c", ["a", "d", "e"]),
        ("b", ["a", "c", "d", "e"]),
    ]
    assert found.pair_counts["batch"].tolist() == ["d", "e", "c", "b"]
    assert found.pair_counts["carrier"].tolist() == [*["generator"] * 3, "nothing"]


def test_the_only_batch_left_is_asked_once(asked, eagerly):
    cells = alike("abc")
    seen = asked(cells.obs["batch"].to_numpy(), {"b": [0.6], "c": [0.1]})
    assert merged(cells, ["a", "b", "c"]).pair_counts["batch"].tolist() == ["b", "c"]
    assert seen == [("b", ["a"]), ("c", ["a", "b"])]


def test_a_batch_without_any_mutual_neighbour_waits_too(asked, eagerly):
    cells = alike("abc")
    asked(cells.obs["batch"].to_numpy(), {"b": [None, 1], "c": [1]})
    assert merged(cells, ["a", "b", "c"]).pair_counts["batch"].tolist() == ["c", "b"]
    asked(cells.obs["batch"].to_numpy(), {"b": [None, None], "c": [1]})
    with pytest.raises(NoPairsError, match=r"batch 'b' and the anchor \['a', 'c'\]"):
        merged(cells, ["a", "b", "c"])


def test_where_all_go_to_the_first_batch_nobody_waits(asked, eagerly):
    cells = alike("abc")
    asked(cells.obs["batch"].to_numpy(), {"b": [0.1], "c": [1]})
    hp = Hyperparameters(**TINY, incremental=False)
    assert merged(cells, ["a", "b", "c"], hp).pair_counts["batch"].tolist() == ["b", "c"]


def test_of_many_cells_the_share_is_that_of_those_looked_at(asked, eagerly):
    cells = alike("abc")
    asked(cells.obs["batch"].to_numpy(), {"b": [0.2], "c": [1]})
    hp = Hyperparameters(**TINY, n_samples=16)  # of 40: 8 with a pair are half of 16
    assert merged(cells, ["a", "b", "c"], hp).pair_counts["batch"].tolist() == ["b", "c"]


def test_a_fit_in_which_nobody_waits_is_the_same_to_the_bit(eagerly):
    cells = alike("abc")
    results = [IMAP(**TINY, least_paired=share).fit_transform(cells, verbose=0) for share in (0, 0.5)]
    for key in ("X_imap", "X_imap_content"):
        np.testing.assert_array_equal(results[0].obsm[key], results[1].obsm[key])


@pytest.mark.filterwarnings("ignore:Batch 'b' is left")
def test_the_model_tells_the_order_it_took_and_keeps_one_it_is_told(tmp_path, eagerly):
    cells = chain()
    model = IMAP(**TINY).fit(cells, verbose=0)
    assert model.order == ["a", "c", "b"]
    after = model.transform(cells)
    assert after.uns["imap"]["order"].tolist() == ["a", "c", "b"]
    model.save(tmp_path / "model")
    loaded = IMAP.load(tmp_path / "model")
    assert loaded.order == ["a", "c", "b"]
    np.testing.assert_array_equal(loaded.transform(cells).obsm["X_imap"], after.obsm["X_imap"])
    told = IMAP(**TINY).fit(cells, order=["a", "b", "c"], verbose=0)
    assert told.order == ["a", "b", "c"] and set(told.generators) == {"c"}


def test_all_genes_follow_the_order_that_was_taken(eagerly):
    cells = chain()
    cells.var["highly_variable"] = np.arange(12) < 8
    model = IMAP(**TINY).fit(cells, verbose=0, genes="all")
    assert model.order == ["a", "c", "b"]
    assert [set(chunk.generators) for chunk in model.chunks] == [{"b", "c"}]


def test_new_batches_wait_as_those_of_a_fit(eagerly):
    cells = chain({"r": (0, 1)} | TYPES)
    known = cells.obs["batch"].isin(["r", "a"]).to_numpy()
    model = IMAP(**TINY).fit(cells[known].copy(), verbose=0)
    first = model.order
    new = cells[~known].copy()
    new.X[new.obs["batch"] == "b"] *= 1.2  # the most variable of the two, so asked first
    model.map_query(new, cells[known].copy(), verbose=0)
    assert model.order == [*first, "c", "b"]


def test_the_search_finds_no_pair_for_who_shares_nothing_and_most_for_who_shares_all(eagerly):
    cells, hp = chain(), Hyperparameters(**TINY)
    batch = cells.obs["batch"].to_numpy()
    rows = {name: np.flatnonzero(batch == name) for name in TYPES}
    assert not len(find_pairs(cells.X, cells.X, rows["b"], rows["a"], hp)[0])
    found = find_pairs(cells.X, cells.X, rows["c"], np.concatenate([rows["a"], rows["b"]]), hp)[0]
    assert len(np.unique(found[:, 0])) > 0.5 * len(rows["c"])
