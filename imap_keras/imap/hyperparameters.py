"""Every number the method can be tuned by, in one place, under the paper's words."""

from dataclasses import dataclass

from ..nn.blocks import INITIALIZATIONS
from ..nn.parameters import Parameters, choice, count, flag, number, seed, text, widths
from .pairs import METRICS, SEARCHES

SPACES = ("content", "pca", "both")


@dataclass(frozen=True)
class Hyperparameters(Parameters):
    """Hyperparameters of iMAP; the defaults are this kit's, :data:`REFERENCE` holds the paper's code.

    Parameters
    ----------
    spread
        All cells are multiplied by one number before training, and divided by it after, such that the
        genes' standard deviations are this on average: the learning rates and the paired weight suit
        that size, also where values lie between 0 and 1. None leaves the cells as they are.
    latent_dim
        Width l of the content code and of the generator's middle layer.
    hidden
        Hidden widths of E and of G's first half; decoders and G's second half mirror them.
    critic_hidden
        Hidden widths of the critic.
    initialization
        ``"zero_bias"`` or ``"reference"``, see :class:`imap_keras.nn.blocks.Initializers`.
    pool_size
        Most cells of a batch that are kept in memory and trained on, drawn at random; a smaller batch
        is kept whole. :meth:`imap_keras.IMAP.transform` carries every cell.
    lambda_content, lambda_reconstruction
        Weights of the two stage I losses.
    stage1_epochs, stage1_steps
        Most epochs of stage I, and steps an epoch.
    stage1_rows
        Rows drawn from each batch in each step.
    stage1_learning_rate
        Adam's in stage I.
    stage1_patience
        Stop stage I when the loss has not fallen by 1 % for so many epochs; None trains them all.
    recalibrate
        Re-estimate BatchNorm's running statistics on real cells after training.
    n_samples
        Most cells of a batch (or of the merged anchor) in the search for pairs.
    k1
        Neighbours across batches looked at for MNN pairs; None: the paper's rule, half of its k2, at
        least 1.
    k2
        Neighbours within a batch the walks step to; None: the paper's rule, a hundredth of the smaller
        batch, at least 1.
    cap_neighbors
        k1 and k2 are at most a quarter of the smaller batch; False leaves them as they are, as in the
        published code.
    lazy_walk
        A cell counts among its k2 neighbours, and a walker may stay where it is, as in the published
        code; False: k2 others, and a walker moves wherever it can.
    walk_length
        Pairs each MNN seed grows to (m).
    pair_space
        Space the neighbours are searched in: ``"content"`` (E(x), the paper), ``"pca"`` (the 30 first
        principal components of the expression), ``"both"`` (those of the content beside those of
        the expression, at one scale), or the name of an embedding of your own in ``adata.obsm``
        (``"X_scVI"``), which holds no NaN.
    pair_agreement
        Only MNN pairs whose two cells see both batches at least so much alike count, see
        :func:`imap_keras.imap.agreement.pair_agreement`; 0 takes every pair, as the paper does.
    metric
        Distance of the neighbours: ``"angular"``, ``"euclidean"``, ``"manhattan"``.
    search, n_trees
        ``"annoy"`` with so many trees, or ``"exact"``.
    incremental
        Each merged batch joins the anchor (the paper); False: all go to the first batch alone.
    least_paired
        A batch waits until the others have joined the anchor while fewer than this share of its cells
        have a pair, see :func:`imap_keras.imap.merging.merge_batches`; 0: none waits, as in the paper.
        Where :meth:`imap_keras.IMAP.fit` is told the order, none does.
    stage2_epochs, stage2_steps
        Epochs of stage II for each query batch, and critic steps an epoch.
    stage2_rows
        Pairs a step.
    critic_steps
        Critic steps to one generator step.
    generator_first
        The generator steps after the first of so many critic steps, as in the published code; False:
        after the last.
    stage2_learning_rate
        Adam's in stage II, generator and critic.
    gradient_penalty
        Weight of the WGAN-GP penalty.
    keep_pairs
        Row i of query and anchor are one pair; False draws the two sides independently. The target of
        a cell is that of its own pair either way.
    balance_pairs
        Pairs are drawn such that paired query cells count alike, and anchor cells as nearly as their
        pairs allow, see :func:`imap_keras.imap.balance.balanced_weights`; False: all pairs alike.
    lambda_pair
        Weight of the squared difference between a carried cell and its target; 0 leaves it out.
    few_cells, least_explained
        Where fewer query cells than `few_cells` have a pair, a quarter of them is held out first, and
        the generator must explain at least this share of their moves beyond the mean move; otherwise
        the batch is moved by the mean of its pairs alone, see
        :func:`imap_keras.imap.few_pairs.train_carrier`. 0 cells: never asked, as in the paper.
    neighbor_target
        The target of a cell moves it as another pair of its walk moves, so that the generator cannot
        learn the cell's own noise; False: the target is the paired anchor cell itself.
    identity_start
        The generator starts as G(x) = x.
    relu_output
        The generator ends in a ReLU, as the paper's. False: a carried value may fall below 0, where a
        ReLU would push the mean of a type up again and take variance from the carried cells alone.
    clip_output
        ``layers["imap"]`` is clipped at 0, for what wants no negative expression; the components
        ``X_imap`` come from the values before. False leaves them below 0.
    chunk_genes
        With ``fit(genes="all")``: genes beyond the variable ones that a generator carries at once, at
        most (the paper's colorectal data: 12,667 genes in 7 chunks).
    shift_start
        The generator starts by adding the mean difference of its pairs to every cell.
    average_epochs
        The generator's weights are averaged over so many last epochs; 1 takes the last as they are.
    unit_length
        The components are those of corrected cells brought to unit length: cells are then compared by
        their profile and not by their depth, as in the search for pairs.
    n_components
        Principal components of the corrected expression in ``obsm["X_imap"]``.
    component_neighbors
        Each component is made the shorter the less of it a cell has in common with so many cells near
        it, see :func:`imap_keras.imap.components.component_weights`: most components hold little but
        the noise of single cells. 0 leaves all at their length.
    match_spread
        Components of a query batch are scaled, and moved, until its paired cells are spread as their
        partners in the anchor, see :func:`imap_keras.imap.spread.spread_between`: a batch of shallower
        cells is noisier. Corrected expression is not scaled.
    seed
        Seed of everything random, 0 to 2**32 - 1.

    Raises
    ------
    ValueError
        A value is out of range; the message names it.

    References
    ----------
    Wang et al., Genome Biology 22:63 (2021), Methods, "Network architectures and hyperparameters".

    Examples
    --------
    >>> from imap_keras.imap.hyperparameters import Hyperparameters
    >>> Hyperparameters(latent_dim=64).lambda_content
    3.0
    """

    METHOD = "iMAP"

    spread: float | None = number(0.8, "above 0", optional=True)
    latent_dim: int = count(256)
    hidden: tuple[int, ...] = widths((1024, 512))
    critic_hidden: tuple[int, ...] = widths((512, 512))
    initialization: str = choice("zero_bias", INITIALIZATIONS)
    pool_size: int = count(10_000, least=10)
    lambda_content: float = number(3.0)
    lambda_reconstruction: float = number(1.0)
    stage1_epochs: int = count(12)
    stage1_steps: int = count(20)
    stage1_rows: int = count(64)
    stage1_learning_rate: float = number(1e-3, "above 0")
    stage1_patience: int | None = count(None, optional=True)
    recalibrate: bool = flag(True)
    n_samples: int = count(3000)
    k1: int | None = count(20, optional=True)
    k2: int | None = count(20, optional=True)
    cap_neighbors: bool = flag(True)
    lazy_walk: bool = flag(False)
    walk_length: int = count(10)
    pair_space: str = text("both")
    pair_agreement: float = number(0.5)
    metric: str = choice("angular", METRICS)
    search: str = choice("annoy", tuple(SEARCHES))
    n_trees: int = count(10)
    incremental: bool = flag(True)
    least_paired: float = number(0.5, "0 or more and below 1")
    stage2_epochs: int = count(10)
    stage2_steps: int = count(10)
    stage2_rows: int = count(64)
    critic_steps: int = count(5)
    generator_first: bool = flag(False)
    stage2_learning_rate: float = number(2e-4, "above 0")
    gradient_penalty: float = number(10.0)
    keep_pairs: bool = flag(True)
    balance_pairs: bool = flag(True)
    lambda_pair: float = number(100.0)
    few_cells: int = count(150, least=0)
    least_explained: float = number(0.4, "0 or more and below 1")
    neighbor_target: bool = flag(True)
    identity_start: bool = flag(True)
    relu_output: bool = flag(False)
    clip_output: bool = flag(True)
    chunk_genes: int = count(2000)
    shift_start: bool = flag(True)
    average_epochs: int = count(5)
    unit_length: bool = flag(True)
    n_components: int = count(30)
    component_neighbors: int = count(20, least=0)
    match_spread: bool = flag(True)
    seed: int = seed()

    @property
    def own_space(self) -> str | None:
        """Name of the embedding that `pair_space` asks for; None: the space is made here."""
        return None if self.pair_space in SPACES else self.pair_space

    def __post_init__(self):
        super().__post_init__()
        if self.critic_steps > self.stage2_steps:
            raise ValueError(
                f"critic_steps={self.critic_steps} must be at most stage2_steps={self.stage2_steps}, "
                "or an epoch passes without a generator step."
            )


# The published code, number by number (package imap 1.0.0; Wang et al. 2021). All are named, so that
# another default cannot change them.
REFERENCE = dict(
    spread=None,
    latent_dim=256,
    hidden=(1024, 512),
    critic_hidden=(512, 512),
    initialization="reference",
    pool_size=100_000,
    lambda_content=3.0,
    lambda_reconstruction=1.0,
    stage1_epochs=150,
    stage1_steps=20,
    stage1_rows=512,
    stage1_learning_rate=5e-4,
    stage1_patience=None,
    recalibrate=False,
    n_samples=3000,
    k1=None,
    k2=None,
    cap_neighbors=False,
    lazy_walk=True,
    walk_length=50,
    pair_space="content",
    pair_agreement=0.0,
    metric="angular",
    search="annoy",
    n_trees=10,
    incremental=False,
    least_paired=0.0,
    stage2_epochs=150,
    stage2_steps=10,
    stage2_rows=1024,
    critic_steps=10,
    generator_first=True,
    stage2_learning_rate=2e-4,
    gradient_penalty=10.0,
    keep_pairs=False,
    balance_pairs=False,
    lambda_pair=0.0,
    few_cells=0,
    least_explained=0.4,
    neighbor_target=False,
    identity_start=False,
    relu_output=True,
    clip_output=True,
    chunk_genes=2000,
    shift_start=False,
    average_epochs=1,
    unit_length=False,
    n_components=30,
    component_neighbors=0,
    match_spread=False,
)
Hyperparameters.PRESETS = {"default": {}, "reference": REFERENCE}
