"""What an error about counts or log values advises, to each of those who ask for them."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from imap_keras import IMAP, integrate, preprocess, scarches
from imap_keras.inclust.tables import column_of, read_table
from imap_keras.inputs.expression import CALLERS, advice, counts_of, kind_of
from imap_keras.inputs.labels import labels_of, obs_column
from imap_keras.metrics import scib_table

COUNTS = np.array([[0, 3, 1], [2, 0, 40]] * 12, "float32")
LOGGED = np.log1p(COUNTS / COUNTS.sum(1, keepdims=True) * 1e4).astype("float32")
SCALED = LOGGED - LOGGED.mean(0)


def cells(x, raw=None, **layers):
    adata = AnnData(x, obs=pd.DataFrame({"batch": ["a", "b"] * 12}, index=[f"c{i}" for i in range(24)]))
    adata.layers.update(layers)
    if raw is not None:
        adata.raw = AnnData(raw, obs=adata.obs, var=pd.DataFrame(index=["0", "1", "2"]))
    return adata


def by_preprocess(adata):
    return preprocess(adata, min_genes=1, min_cells=1, verbose=0)


def by_scarches(adata, **options):
    return scarches.Reference(**options).fit(adata, verbose=0)


def by_scarches_mse(adata):
    return by_scarches(adata, likelihood="mse")


def message_of(call, adata):
    with pytest.raises(ValueError) as caught:
        call(adata)
    return str(caught.value)


FRACTIONAL = "adata.X holds 48 fractional values; raw counts are expected. "
NEGATIVE = (
    f"adata.X holds {np.sum(SCALED < 0)} negative values (smallest {SCALED.min():.3g}); expression "
    "must be 0 or more. Scaled or centred data do not fit. "
)
WHOLE = "adata.X holds whole numbers only, like counts; log-normalised values are expected. "
MAKE_LOGGED = (
    "Call imap_keras.preprocess(adata, batch_key=...) first, or scanpy.pp.normalize_total and "
    "scanpy.pp.log1p."
)
ROUND = (
    "If they are counts that were corrected for ambient RNA (SoupX, CellBender), round them: "
    "adata.X = adata.X.round()"
)
TO_INTEGRATE = "leave preprocess out and hand them to imap_keras.integrate"
TO_MSE = 'use likelihood="mse", which reads log-normalised values'


@pytest.mark.parametrize(
    "call, other",
    [(by_preprocess, TO_INTEGRATE), (by_scarches, TO_MSE)],
    ids=["preprocess", "scarches"],
)
def test_who_wants_counts_is_told_where_they_are_or_what_reads_log_values(call, other):
    assert message_of(call, cells(LOGGED)) == (
        f"{FRACTIONAL}Put the counts into adata.layers['counts']. If they are log-normalised values, "
        f"{other}. {ROUND}"
    )
    assert message_of(call, cells(LOGGED, raw=COUNTS)) == (
        f"{FRACTIONAL}adata.raw holds counts: adata = adata.raw.to_adata()"
    )
    assert message_of(call, cells(LOGGED, umis=COUNTS)) == (
        f"{FRACTIONAL}adata.layers['umis'] holds counts: adata.layers['counts'] = adata.layers['umis']"
    )
    assert message_of(call, cells(SCALED)) == (
        f"{NEGATIVE}Put the counts into adata.layers['counts'], or, with log-normalised values in X, "
        f"{other}."
    )
    assert message_of(call, cells(SCALED, raw=LOGGED)) == (
        f"{NEGATIVE}adata.raw holds log-normalised values; {other}: adata = adata.raw.to_adata()"
    )


@pytest.mark.parametrize("call", [by_preprocess, by_scarches], ids=["preprocess", "scarches"])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "csr"])
def test_counts_corrected_for_ambient_rna_are_rounded_by_the_line_that_is_given(call, kind):
    corrected = COUNTS * 0.9
    adata = cells(kind(corrected))
    message = message_of(call, adata)
    line = message.rpartition(": ")[2]
    assert "log-normalised" not in message and "SoupX, CellBender" in message
    exec(line, {"adata": adata})
    np.testing.assert_array_equal(counts_of(adata)[0].max(), 36)
    layer = cells(LOGGED, counts=kind(corrected))
    line = message_of(call, layer).rpartition(": ")[2]
    assert "layers['counts'] holds" in message_of(call, layer)
    exec(line, {"adata": layer})
    assert kind_of(layer.layers["counts"]) == "counts"


@pytest.mark.parametrize(
    "call, advised",
    [
        (integrate, MAKE_LOGGED),
        (lambda adata: IMAP().fit(adata), MAKE_LOGGED),
        (by_scarches_mse, MAKE_LOGGED + ' Or use likelihood="nb", which reads counts.'),
        (lambda adata: read_table(adata, modality_key=None), MAKE_LOGGED),
    ],
    ids=["integrate", "fit", "scarches", "inclust"],
)
def test_who_wants_log_values_is_told_where_they_are_or_how_to_make_them(call, advised):
    assert message_of(call, cells(COUNTS)) == WHOLE + advised
    assert message_of(call, cells(SCALED)) == NEGATIVE + advised
    assert message_of(call, cells(SCALED, raw=LOGGED)) == (
        f"{NEGATIVE}adata.raw holds log-normalised values: adata = adata.raw.to_adata()"
    )
    assert message_of(call, cells(COUNTS, logcounts=LOGGED)) == (
        f"{WHOLE}adata.layers['logcounts'] holds log-normalised values: "
        "adata.X = adata.layers['logcounts']"
    )


def test_raw_of_more_genes_is_cut_to_the_genes_at_hand():
    adata = cells(SCALED, raw=LOGGED)[:, 1:].copy()
    found = advice(adata, adata.X, "X", "integrate")
    assert found.endswith("adata = adata.raw.to_adata()[:, adata.var_names].copy()")
    scope = {"adata": adata}
    exec(found.partition(": ")[2], scope)
    np.testing.assert_array_equal(scope["adata"].X, LOGGED[:, 1:])


def test_every_caller_wants_a_kind_and_knows_the_other():
    assert set(CALLERS) == {"preprocess", "integrate", "scarches_counts", "scarches_logged"}
    for caller in CALLERS.values():
        assert caller.wants in ("counts", "log-normalised values") and caller.other_kind


def test_no_gene_that_varies_is_said_before_training():
    adata = cells(np.full((24, 1), 1.5, "float32"))
    with pytest.raises(ValueError) as caught:
        integrate(adata)
    assert str(caught.value) == (
        "No gene of adata.X varies between the 24 cells, so nothing can be learnt from them; were the "
        "genes chosen for these cells?"
    )


@pytest.mark.parametrize("call", [integrate, preprocess, by_scarches], ids=lambda call: call.__name__)
def test_no_cells_and_no_genes(call):
    with pytest.raises(ValueError, match=r"^adata has no cells \(its shape is 0 x 3\).$"):
        call(cells(LOGGED)[:0])
    with pytest.raises(ValueError, match=r"^adata has no genes \(its shape is 24 x 0\).$"):
        call(cells(LOGGED)[:, :0])


# ------------------------------------------------------------------ one column, by name


def by_inclust(adata, batch_key):
    table = read_table(adata, modality_key=None)
    return column_of(table, batch_key, "query", "batch_key")


def by_scib(adata, batch_key):
    adata.obsm["X"] = LOGGED
    return scib_table(adata, ["X"], batch_key)


@pytest.mark.parametrize(
    "call",
    [
        integrate,
        preprocess,
        lambda adata, batch_key: scarches.Reference().fit(adata, batch_key),
        by_inclust,
        by_scib,
    ],
    ids=["integrate", "preprocess", "scarches", "inclust", "scib"],
)
@pytest.mark.parametrize("key", [["donor", "batch"], ("donor", "batch"), np.array(["donor", "batch"])])
def test_several_columns_are_to_be_joined(call, key):
    adata = cells(LOGGED)
    adata.obs["donor"] = ["x", "y", "z"] * 8
    with pytest.raises(TypeError, match="batch_key=.* must name one column; join them into one: ") as e:
        call(adata, batch_key=key)
    line = str(e.value).rpartition(": ")[2].replace("the obs of query", "adata.obs")
    exec(line, {"adata": adata})
    assert labels_of(adata, "joined")[:2].tolist() == ["x a", "y b"]


def test_a_column_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(KeyError, match="kind='donor' is not a column of var. Columns there: none."):
        obs_column(pd.DataFrame(index=["a"]), "donor", "kind", "var")
