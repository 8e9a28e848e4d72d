"""Right answers in another style than the solution's: lines, by the name of the exercise."""

RIGHT = {
    "nb00_negative": [
        "return [2 * sum(t != kind for t in row) >= len(row) for kind, row in zip(own, near)]"
    ],
    "nb01_one_value": ['reason = "of ten thousand it is 15, plus one"\nvalue = 2.773'],
    "nb01_normalised": [
        "from scipy.sparse import csr_matrix\n"
        "depth = np.asarray(counts.sum(axis=1)).reshape(-1, 1)\n"
        "return csr_matrix(counts / np.where(depth > 0, depth, 1) * 1e4).log1p()",
        "rows = [np.log(1 + 1e4 * row / row.sum()) if row.any() else 0.0 * row for row in counts]\n"
        "return [list(row) for row in rows]",
    ],
    "nb02_mish_slope": [
        "x = tf.constant(x)\nwith tf.GradientTape() as tape:\n    tape.watch(x)\n"
        "    y = x * tf.tanh(tf.math.softplus(x))\nreturn tape.gradient(y, x)",
        "s = 1 / (1 + np.exp(-x))\nt = np.tanh(np.logaddexp(0, x))\n"
        "return (t + x * s / np.cosh(np.logaddexp(0, x)) ** 2).astype('float32').tolist()",
    ],
    "nb03_content_loss": [
        "code = np.asarray(encode(x))\n"
        "return np.square(np.asarray(encode(decode(code, random_batch))) - code).mean(axis=1).tolist()",
    ],
    "nb04_by_hand": [
        'reason = "each asks for the other, both ways"\nmutual_by_hand = np.array([[0, 2], [1, 0]])'
    ],
    "nb04_mutual": [
        "n, m = len(near_anchor), len(near_query)\n"
        "return [[q, a] for q in range(n) for a in range(m) if a in near_anchor[q] and q "
        "in near_query[a]]",
    ],
    "nb04_walk_step": [
        "return [links[c][int(np.floor(x * len(links[c])))] if len(links[c]) else c for "
        "c, x in zip(here, u)]",
    ],
    "nb05_one_sided_penalty": [
        "x = eta * anchor + (1 - eta) * carried\nwith tf.GradientTape() as tape:\n    tape.watch(x)\n"
        "    total = tf.reduce_sum(critic(x))\nslope = tape.gradient(total, x).numpy()\n"
        "return float(np.mean(np.clip(np.sqrt((slope**2).sum(axis=1)) - 1, 0, None) ** 2))",
    ],
    "nb05_critic_step": [
        "loss = tf.reduce_mean(critic(carried) - critic(anchor)) + penalty(critic, "
        "anchor, carried) * weight",
    ],
    "nb06_deviation": [
        "n, far = len(near), []\n"
        "for b, p in enumerate(share):\n"
        "    far.append(abs(sum(near == b) - n * p) / (n * p * (1 - p)) ** 0.5)\nreturn max(far)",
    ],
    "nb06_ceiling": [
        "batches = np.asarray(batches)\n"
        "share = np.array([np.mean(batches == b) for b in np.unique(batches)])\n"
        "passed = sum(deviation(rng.permutation(batches)[:n], share) <= threshold for _ "
        "in range(2000))\n"
        "return passed / 2000",
    ],
    "nb07_intruders": [
        "held = {b: set(kinds[batch == b]) for b in np.unique(batch)}\n"
        "found = [[kinds[i] not in held[batch[j]] for j in near[i]] for i in range(len(near))]\n"
        "return float(np.array(found).mean())",
    ],
    "nb08_keep": ['kept = ["p", "b"]'],
    "nb08_gain": [
        "runs = runs.assign(gain=runs.groupby('seed')['mixing'].diff()).dropna()\n"
        "return runs.groupby('step', sort=False)['gain'].agg(gain='mean', spread='std')",
    ],
    "nb09_moved": [
        "def home(near):\n"
        "    return np.array([2 * sum(types[row] == kind) >= len(row) for kind, row in "
        "zip(types, near)])\n"
        "return (home(before) & (home(after) == False)).sum() / len(types)",
    ],
    "nb10_grow": [
        "known, bias = old.get_weights()\nown = new.get_weights()[0]\n"
        "new.set_weights([np.concatenate([known, own[len(known) :]]), bias])\nreturn new",
    ],
    "nb11_mask": [
        "return tf.reduce_sum(tf.math.multiply_no_nan(x - output, mask) ** 2, axis=-1) / 2",
        "seen = tf.cast(mask, bool)\ngap = tf.where(seen, x, output) - output\n"
        "return 0.5 * tf.einsum('ij,ij->i', gap, gap)",
    ],
    "nb12_rank": [
        "down = np.sort(correlations)[::-1]\n"
        "return float(np.mean(np.flatnonzero(down == correlations[homologue]))) + 1",
    ],
    "nb13_pca": [
        "mean = cells.mean(axis=0)\naxes = np.linalg.eigh(np.cov(cells.T))[1][:, ::-1][:, :n]\n"
        "gap = (new - mean) - (new - mean) @ axes @ axes.T\nreturn float((gap**2).sum() / gap.size)",
    ],
    "nb14_masked": [
        "seen = ~tf.math.is_nan(x)\nx, p = tf.boolean_mask(x, seen), tf.boolean_mask(p, seen)\n"
        "p = tf.clip_by_value(p, 1e-3, 1 - 1e-3)\n"
        "return -tf.reduce_mean(tf.math.xlogy(x, p) + tf.math.xlog1py(1 - x, -p))",
    ],
    "nb15_kl": [
        "a, s = mean.ravel(), scale.ravel()\n"
        "return sum(np.log(prior_scale / s) + (s**2 + a**2) / (2 * prior_scale**2) - 0.5)",
    ],
    "nb16_along": [
        "total = 0\nfor k in range(steps):\n"
        "    total = total + gradient(other + (k + 0.5) / steps * (x - other)) / steps\n"
        "return list((x - other) * total)",
    ],
    "nb17_adjusted": [
        "from scipy.stats import false_discovery_control\nreturn list(false_discovery_control(p))",
    ],
    "nb18_novelty": [
        "from scipy.spatial.distance import cdist\nown = np.sort(cdist(home, points).min(axis=1))\n"
        "return list(cdist(cells, points).min(axis=1) / own[int(0.99 * len(own))])",
    ],
    "nb19_moments": [
        "m = len(block)\nfull = (n * mean + block.sum(axis=0)) / (n + m)\n"
        "return [n + m, full, squares + n * (mean - full) ** 2 + ((block - full) ** 2).sum(axis=0)]",
    ],
}
