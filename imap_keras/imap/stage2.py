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
    ):
        super().__init__(name="wgan_gp")
        self.generator = generator
        self.critic = critic
        self.gradient_penalty_weight = gradient_penalty
        self.critic_steps = critic_steps
        self.lambda_pair = lambda_pair
        self.seed = seed
        self.trackers = {
            name: keras.metrics.Mean(name=name)
            for name in (
                "critic_loss",
                "wasserstein",
                "gradient_penalty",
                "generator_loss",
                "pair_loss",
            )
        }

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
        slope = tf.norm(tape.gradient(score, between), axis=1)
        return tf.reduce_mean((slope - 1) ** 2)

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
        # 2. On every critic_steps-th batch the generator learns to please the critic.
        turn = tf.equal((step + 1) % self.critic_steps, 0)
        tf.cond(turn, lambda: self.track(self.generator_step(query, target)[0]), lambda: False)
        return {name: tracker.result() for name, tracker in self.trackers.items()}


def paired_cells(
    query_cells: np.ndarray,
    anchor_cells: np.ndarray,
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
    query_cells, anchor_cells
        Cells x genes, float32, each held once as a tensor; rows are gathered by index.
    pairs
        Pairs x 2, indices into the two.
    rows
        Pairs a batch (1024 in the reference).
    keep_pairs
        True: row i of both sides is one pair. False: both sides are drawn independently, as in the
        reference, where the pairing itself is not used.
    seed
        The same seed gives the same batches.
    walk_length
        Pairs of one walk, that follow each other in `pairs`; with 1 the target is the anchor row.
    weights
        How often each pair is drawn, see :func:`imap_keras.imap.balance.balanced_weights`; None: all
        alike.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.stage2 import paired_cells
    >>> cells = np.arange(6, dtype="float32").reshape(3, 2)
    >>> pairs = np.array([[0, 1], [1, 2]])
    >>> query, anchor, target = next(iter(paired_cells(cells, cells, pairs, 4, walk_length=2)))
    >>> (target - query).numpy()[0].tolist()
    [2.0, 2.0]
    """
    query_table, anchor_table = (tf.constant(t, tf.float32) for t in (query_cells, anchor_cells))
    query_index, anchor_index = (tf.constant(pairs[:, side], tf.int32) for side in (0, 1))
    # Pair i lies on a line from starts[i] to ends[i]: a point drawn on the line draws a pair.
    weights = np.ones(len(pairs)) if weights is None else weights / weights.mean()
    ends = np.cumsum(weights)
    starts, ends, weights = tf.constant(ends - weights), tf.constant(ends), tf.constant(weights)

    def pair_at(point):
        return tf.minimum(tf.searchsorted(ends, point, "right"), len(pairs) - 1)

    def draw(step):
        def point(stream, low, high):
            seeds = tf.stack([tf.constant(3 * seed + stream, tf.int64), step])
            return low + (high - low) * tf.random.stateless_uniform((rows,), seeds, dtype=tf.float64)

        def query(drawn):
            return tf.gather(query_table, tf.gather(query_index, drawn))

        def anchor(drawn):
            return tf.gather(anchor_table, tf.gather(anchor_index, drawn))

        left = pair_at(point(0, 0.0, ends[-1]))
        right = left if keep_pairs else pair_at(point(1, 0.0, ends[-1]))
        if walk_length == 1:
            return query(left), anchor(right), anchor(right)
        # Another pair of the walk: a point on the walk's part of the line, the pair's own left out.
        first = left // walk_length * walk_length
        own = tf.gather(weights, left)
        place = point(2, tf.gather(starts, first), tf.gather(ends, first + walk_length - 1) - own)
        after = place >= tf.gather(starts, left)
        other = pair_at(tf.where(after, place + own, place))
        return query(left), anchor(right), query(left) + anchor(other) - query(other)

    return drawn_rows(draw)
