"""Layers without weights that choose rows: what saves stage I from decoding the same thing twice."""

import keras
import tensorflow as tf

from ..nn.blocks import PACKAGE


@keras.saving.register_keras_serializable(PACKAGE)
class AllBatches(keras.layers.Layer):
    """Every batch once, as one-hot rows (n_batches x n_batches), whatever the input.

    The batch decoder sees only n distinct inputs; decoding these n rows and picking from them is the
    same arithmetic as decoding one row a cell, hundreds of times cheaper.
    """

    def call(self, batch):
        return tf.eye(batch.shape[-1])


@keras.saving.register_keras_serializable(PACKAGE)
class AddPicked(keras.layers.Layer):
    """`values` plus a row of `table` for each one-hot row.

    Picked by a matrix product, so its gradient is repeatable. Added here and not by Keras' `Add`, which
    in Keras 3 takes a table of no rows for a bias and raises.
    """

    def call(self, values, one_hot, table):
        return values + tf.matmul(one_hot, table)


@keras.saving.register_keras_serializable(PACKAGE)
class RowsThatMove(keras.layers.Layer):
    """Numbers of the rows whose random batch is another than their own (moving rows x 1).

    Decoding the others, one in n_batches, would repeat their reconstruction.
    """

    def call(self, batch, random_batch):
        return tf.where(tf.reduce_sum(batch * random_batch, axis=1) < 0.5)


@keras.saving.register_keras_serializable(PACKAGE)
class TakeRows(keras.layers.Layer):
    """The rows of `table` with the numbers `rows`."""

    def call(self, table, rows):
        return tf.gather_nd(table, rows)


@keras.saving.register_keras_serializable(PACKAGE)
class PutRows(keras.layers.Layer):
    """`table` with `values` in place of the rows with the numbers `rows`."""

    def call(self, table, rows, values):
        return tf.tensor_scatter_nd_update(table, rows, values)
