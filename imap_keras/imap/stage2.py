"""Stage II: a WGAN-GP that carries one batch into the anchor batch (Wang et al. 2021, Methods).

The generator G reads a query cell and writes what the cell would be in the anchor batch. The critic D
scores cells: high for anchor cells, low for generated ones. Their difference estimates the Wasserstein
distance between the two clouds as long as D is 1-Lipschitz, which a gradient penalty keeps it near
(Gulrajani et al. 2017).
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from ..nn.blocks import Initializers, apply, dense_stack
from ..nn.optimizer import adam
from ..nn.rows import drawn_rows

# A root has no gradient at 0: a critic that is flat somewhere would turn every weight into NaN.
TINY = 1e-12
LOSSES = ("critic_loss", "wasserstein", "gradient_penalty", "generator_loss", "pair_loss")


def build_generator(
    n_genes: int,
    latent_dim: int = 256,
    hidden: Sequence[int] = (1024, 512),
    init: Initializers | None = None,
    identity_start: bool = False,
    relu_output: bool = True,
) -> keras.Model:
    """Build the generator ``G(x) = ReLU(F(x) + x)``, F an autoencoder d-1024-512-l-512-1024-d.

    BatchNorm follows every dense layer of F but the last; Mish all but the middle and the last.

    Parameters
    ----------
    n_genes, latent_dim
        Width of input and output (d), and of the middle layer (l = 256 in the paper).
    hidden
        Widths of the first half; the second half mirrors it.
    init
        Starting weights.
    identity_start
        Start with a zero last layer, so that G(x) = x before training: the shortcut alone.
    relu_output
        The ReLU of the paper, which keeps expression at 0 or more; False: ``G(x) = F(x) + x``.

    Examples
    --------
    >>> from imap_keras.imap.stage2 import build_generator
    >>> build_generator(20, 4, hidden=(8, 8)).output_shape
    (None, 20)
    """
    widths, init = (*hidden, latent_dim, *reversed(hidden), n_genes), init or Initializers()
    norm, active = [True] * (2 * len(hidden) + 1) + [False], ([True] * len(hidden) + [False]) * 2
    stack = dense_stack(n_genes, widths, init, norm, active, "generator")
    if identity_start:
        stack[-1].kernel_initializer = stack[-1].bias_initializer = keras.initializers.Zeros()
    cells = keras.Input((n_genes,), name="query_cells")
    carried = keras.layers.Add(name="shortcut")([apply(stack, cells), cells])
    outputs = keras.layers.ReLU(name="carried")(carried) if relu_output else carried
    return keras.Model(cells, outputs, name="generator")


def add_shift(generator: keras.Model, shift: np.ndarray) -> None:
    """Add a constant to what the generator adds to every cell: its last bias.

    With the mean difference of the pairs as shift, training starts where Haghverdi et al. (2018) would
    end with one correction for all cells, and learns what differs from cell to cell.

    Parameters
    ----------
    generator
        From :func:`build_generator`; changed.
    shift
        One number a gene.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.stage2 import add_shift, build_generator
    >>> generator = build_generator(2, 2, hidden=(4, 4), identity_start=True)
    >>> add_shift(generator, np.array([0.5, -9.0]))
    >>> generator(np.ones((1, 2), "float32")).numpy().tolist()
    [[1.5, 0.0]]
    """
    last = [layer for layer in generator.layers if isinstance(layer, keras.layers.Dense)][-1]
    kernel, bias = last.get_weights()
    last.set_weights([kernel, bias + shift])


def build_critic(
    n_genes: int, hidden: Sequence[int] = (512, 512), init: Initializers | None = None
) -> keras.Model:
    """Build the critic D, d-512-512-1, Mish on the hidden layers, no BatchNorm.

    BatchNorm would tie the rows together, and the gradient penalty holds cell by cell.

    Parameters
    ----------
    n_genes, hidden, init
        Width of the input, widths of the hidden layers, starting weights.

    Examples
    --------
    >>> from imap_keras.imap.stage2 import build_critic
    >>> build_critic(20, hidden=(8, 8)).output_shape
    (None, 1)
    """
    inner = [True] * len(hidden) + [False]
    never = [False] * (len(hidden) + 1)
    stack = dense_stack(n_genes, (*hidden, 1), init or Initializers(), never, inner, "critic")
    cells = keras.Input((n_genes,), name="cells")
    return keras.Model(cells, apply(stack, cells), name="critic")


class WGANGP(keras.Model):
    """Generator and critic, trained in turn by a custom `train_step`.

    Parameters
    ----------
    generator, critic
        From :func:`build_generator` and :func:`build_critic`.
    gradient_penalty
        Weight of the penalty (10 in the paper).
    critic_steps
        Critic steps to one generator step. Each batch of pairs is one critic step; every
        `critic_steps`-th batch is a generator step as well.
    generator_first
        The generator steps after the first of so many critic steps, as in the reference; False: after
        the last.
    lambda_pair
        Weight of the paired term, the mean squared difference between a carried query cell and its
        target (see :func:`paired_cells`); 0 switches it off, as in the reference.
    seed
        Seed of the interpolation between anchor and carried cells.

    References
    ----------
    Wang et al., Genome Biology 22:63 (2021), Methods, stage II; Gulrajani et al., NeurIPS 2017, eq. 3.

    Examples
    --------
    >>> from imap_keras.imap.stage2 import WGANGP, build_critic, build_generator
    >>> gan = WGANGP(build_generator(20), build_critic(20), critic_steps=10)
    >>> gan.compile()
    >>> [metric.name for metric in gan.metrics][:2]
    ['critic_loss', 'wasserstein']
    """

    def __init__(
        self,
        generator: keras.Model,
        critic: keras.Model,
        gradient_penalty: float = 10.0,
        critic_steps: int = 10,
        lambda_pair: float = 0.0,
        seed: int = 0,
        generator_first: bool = False,
    ):
        super().__init__(name="wgan_gp")
        self.generator, self.critic = generator, critic
        self.gradient_penalty_weight, self.lambda_pair = gradient_penalty, lambda_pair
        self.critic_steps, self.seed = critic_steps, seed
        self.turn = 0 if generator_first else critic_steps - 1
        self.trackers = {name: keras.metrics.Mean(name=name) for name in LOSSES}

    def compile(self, generator_optimizer=None, critic_optimizer=None, learning_rate=2e-4, **kwargs):
        """Set the two optimisers; by default Adam(2e-4, 0.5, 0.999) each, as in the paper."""
        super().compile(**kwargs)

        self.generator_optimizer = generator_optimizer or adam(
            learning_rate, "generator_adam", beta_1=0.5
        )
        self.critic_optimizer = critic_optimizer or adam(learning_rate, "critic_adam", beta_1=0.5)
        # Slots are made here because a step may run inside tf.cond, where nothing may be created.
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.critic_optimizer.build(self.critic.trainable_variables)

    @property
    def metrics(self):
        return list(self.trackers.values())

    def call(self, cells, training=False):
        return self.generator(cells, training=training)

    def penalty(self, anchor, carried, eta):
        """Mean of ``(|grad D| - 1)^2`` at points between anchor and carried cells."""
        between = eta * anchor + (1 - eta) * carried
        with tf.GradientTape() as tape:
            tape.watch(between)
            score = self.critic(between, training=True)
        slope = tape.gradient(score, between)
        length = tf.sqrt(tf.reduce_sum(slope**2, axis=1) + TINY)
        return tf.reduce_mean((length - 1) ** 2)

    def critic_step(self, query, anchor, eta):
        """One step of the critic; the generator is held fixed and needs no gradient."""
        carried = tf.stop_gradient(self.generator(query, training=True))
        with tf.GradientTape() as tape:
            on_anchor = tf.reduce_mean(self.critic(anchor, training=True))
            on_carried = tf.reduce_mean(self.critic(carried, training=True))
            penalty = self.penalty(anchor, carried, eta)
            loss = on_carried - on_anchor + self.gradient_penalty_weight * penalty
        gradients = tape.gradient(loss, self.critic.trainable_variables)
        self.critic_optimizer.apply_gradients(zip(gradients, self.critic.trainable_variables))
        gap = on_anchor - on_carried
        return {"critic_loss": loss, "wasserstein": gap, "gradient_penalty": penalty}, gradients

    def generator_step(self, query, target):
        """One step of the generator: raise the critic's score, stay near the target of the pair."""
        with tf.GradientTape() as tape:
            carried = self.generator(query, training=True)
            loss = -tf.reduce_mean(self.critic(carried, training=True))
            pair = tf.reduce_mean((carried - target) ** 2)
            total = loss + self.lambda_pair * pair if self.lambda_pair else loss
        gradients = tape.gradient(total, self.generator.trainable_variables)
        self.generator_optimizer.apply_gradients(zip(gradients, self.generator.trainable_variables))
        return {"generator_loss": loss, "pair_loss": pair}, gradients

    def track(self, losses) -> bool:
        """Hand losses to their running means."""
        for name, value in losses.items():
            self.trackers[name].update_state(value)
        return True

    def train_step(self, data):
        query, anchor, target = data
        # 1. The critic learns to tell anchor cells from carried ones.
        step = tf.cast(self.critic_optimizer.iterations, tf.int32)
        eta = tf.random.stateless_uniform((tf.shape(query)[0], 1), tf.stack([self.seed, step]))
        self.track(self.critic_step(query, anchor, eta)[0])
        # 2. On one of critic_steps batches the generator learns to please the critic.
        turn = tf.equal(step % self.critic_steps, self.turn)
        tf.cond(turn, lambda: self.track(self.generator_step(query, target)[0]), lambda: False)
        return {name: tracker.result() for name, tracker in self.trackers.items()}


def paired_cells(
    cells: np.ndarray,
    pairs: np.ndarray,
    rows: int = 1024,
    keep_pairs: bool = True,
    seed: int = 0,
    walk_length: int = 1,
    weights: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Endless batches of (query rows, anchor rows, target rows) drawn from the pair list.

    A query cell's own pair is a poor target: learnt by heart, it would teach the generator to take the
    cell's own noise away, and carried cells would be more alike than measured ones. Its move is
    therefore asked of another pair of the same walk: ``target = cell + (anchor' - query')``. No cell
    can guess another's noise, so the generator learns what the neighbours' moves have in common.

    Parameters
    ----------
    cells
        Cells x genes, float32, held once as a tensor; rows are gathered by index.
    pairs
        Pairs x 2, indices of cells (query, anchor).
    rows
        Pairs a batch (1024 in the reference).
    keep_pairs
        True: row i of both sides is one pair. False: both sides are drawn independently, as in the
        reference, where the pairing itself is not used. The target is that of the query row's pair
        either way.
    seed
        The same seed gives the same batches.
    walk_length
        Pairs of one walk, that follow each other in `pairs`; with 1 the target is the anchor cell of
        the query row's own pair.
    weights
        How often each pair is drawn, see :func:`imap_keras.imap.balance.balanced_weights`; None: all
        alike.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.stage2 import paired_cells
    >>> cells = np.arange(6, dtype="float32").reshape(3, 2)
    >>> pairs = np.array([[0, 1], [1, 2]])
    >>> query, anchor, target = next(iter(paired_cells(cells, pairs, 4, walk_length=2)))
    >>> (target - query).numpy()[0].tolist()
    [2.0, 2.0]
    """
    table, pairs = tf.constant(cells, tf.float32), tf.constant(pairs, tf.int32)
    ends = tf.constant(np.cumsum(np.ones(len(pairs)) if weights is None else weights / weights.mean()))

    def draw(step):
        seeds = [tf.stack([tf.constant(3 * seed + i, tf.int64), step]) for i in range(3)]
        own = draw_pairs(ends, rows, seeds[0])
        across = own if keep_pairs else draw_pairs(ends, rows, seeds[1])
        other = None if walk_length == 1 else draw_neighbors(own, ends, walk_length, seeds[2])
        return paired_rows(table, pairs, own, across, other)

    return drawn_rows(draw)


def paired_rows(table, pairs, own, across, other):
    """Query rows, anchor rows and target rows of drawn pairs.

    Parameters
    ----------
    table, pairs
        Cells x genes, and pairs x 2.
    own, across
        Numbers of the pairs whose query cells, and whose anchor cells are taken.
    other
        Numbers of the pairs whose moves are the targets; None: the target is the partner itself.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from imap_keras.imap.stage2 import paired_rows
    >>> table, pairs = tf.constant([[0.0], [1.0], [5.0]]), tf.constant([[0, 1], [1, 2]])
    >>> [float(rows[0, 0]) for rows in paired_rows(table, pairs, [0], [0], [1])]
    [0.0, 1.0, 4.0]
    """

    def cells(side, drawn):
        return tf.gather(table, tf.gather(pairs[:, side], drawn))

    query, anchor = cells(0, own), cells(1, across)
    if other is None:
        return query, anchor, cells(1, own)
    return query, anchor, query + (cells(1, other) - cells(0, other))


def draw_pairs(ends, rows: int, seed):
    """Pairs drawn by their weights: they lie on a line end to end, and random points fall on them.

    Parameters
    ----------
    ends
        Where each pair ends on the line: the sums of the weights so far, float64.
    rows
        How many are drawn.
    seed
        A stateless seed (shape 2).

    Examples
    --------
    >>> import tensorflow as tf
    >>> from imap_keras.imap.stage2 import draw_pairs
    >>> draw_pairs(tf.constant([0.0, 2.0, 2.0], tf.float64), 3, (0, 1)).numpy().tolist()
    [1, 1, 1]
    """
    points = tf.random.stateless_uniform((rows,), seed, dtype=tf.float64) * ends[-1]
    return pairs_at(points, ends)


def draw_neighbors(own, ends, walk_length: int, seed):
    """For each drawn pair another pair of its walk, by their weights.

    Parameters
    ----------
    own
        Pairs drawn.
    ends, seed
        As for :func:`draw_pairs`.
    walk_length
        Pairs of one walk, that follow each other.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from imap_keras.imap.stage2 import draw_neighbors
    >>> ends = tf.constant([1.0, 2.0, 3.0, 4.0], tf.float64)
    >>> draw_neighbors(tf.constant([0, 1, 2, 3]), ends, 2, (0, 1)).numpy().tolist()
    [1, 0, 3, 2]
    """
    starts = tf.concat([tf.zeros(1, ends.dtype), ends[:-1]], axis=0)
    first = own // walk_length * walk_length
    start, weight = tf.gather(starts, own), tf.gather(ends, own) - tf.gather(starts, own)
    low, high = tf.gather(starts, first), tf.gather(ends, first + walk_length - 1) - weight
    # The own pair is cut out of the walk's part of the line: points behind the cut move on by it.
    points = low + (high - low) * tf.random.stateless_uniform(tf.shape(own), seed, dtype=ends.dtype)
    return pairs_at(tf.where(points >= start, points + weight, points), ends)


def pairs_at(points, ends):
    """The pairs that points of the line lie on."""
    return tf.minimum(tf.searchsorted(ends, points, "right"), len(ends) - 1)
