"""Short answers to exercises for which the package has longer code, or no code. A test judges each answer."""

ANSWERS = {
    "affine_backward": """
def affine_backward(d_y, x, weight, bias):
    d_x = d_y @ weight.T
    d_weight = x.T @ d_y
    d_bias = d_y.sum(axis=0)                                # b is added to every row
    return d_x, d_weight, d_bias
""",
    "bernoulli": """
def bernoulli_log_prob(x, logits):
    return (x * logits - np.logaddexp(0, logits)).sum(axis=-1)


def bernoulli_log_prob_backward(d_out, x, logits):
    return d_out[..., None] * (x - sigmoid(logits))
""",
    "mlp_backward": """
def mlp_backward(d_out, hs, layers, activation, d_layers):
    act, act_backward = ACTIVATIONS[activation]
    d_a = d_out                                             # the last layer is linear
    for i in reversed(range(len(layers))):
        d_h, d_weight, d_bias = affine_backward(d_a, hs[i], *layers[i])
        d_layers[i][0][...] = d_weight
        d_layers[i][1][...] = d_bias
        if i > 0:
            d_a = act_backward(d_h, hs[i])
    return d_h
""",
    "adam": """
def step(self, gradient):
    self.t += 1
    g = gradient.flat
    self.m = self.b1 * self.m + (1 - self.b1) * g
    self.v = self.b2 * self.v + (1 - self.b2) * g**2
    m_hat = self.m / (1 - self.b1**self.t)
    v_hat = self.v / (1 - self.b2**self.t)
    self.params.flat[...] -= self.lr * m_hat / (np.sqrt(v_hat) + self.tiny)
""",
    "write_the_check": """
def check(gaussian):
    rng = np.random.default_rng(0)
    mu, log_var = rng.normal(size=(2, 3, 1))
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    z = gaussian.reparameterize(mu, log_var, np.repeat(nodes[:, None, None], 3, axis=1))
    mean = weights @ (gaussian.log_normal(z, mu, log_var) - gaussian.log_standard_normal(z)) / weights.sum()
    assert np.allclose(mean, gaussian.kl_standard_normal(mu, log_var)[:, 0])        # all of one Gaussian
    eps, step = rng.normal(size=(4, 3, 1)), 1e-6
    for f, f_backward, d_out, *noise in (
        (gaussian.reparameterize, gaussian.reparameterize_backward, rng.normal(size=(4, 3, 1)), eps),
        (gaussian.kl_standard_normal, gaussian.kl_standard_normal_backward, rng.normal(size=(3, 1))),
    ):
        d_mu, d_log_var = f_backward(d_out, mu, log_var, *noise)                    # one check for each gradient
        moved = (d_out * (f(mu + step, log_var, *noise) - f(mu - step, log_var, *noise))).sum()
        assert np.allclose(moved / (2 * step), d_mu.sum())
        moved = (d_out * (f(mu, log_var + step, *noise) - f(mu, log_var - step, *noise))).sum()
        assert np.allclose(moved / (2 * step), d_log_var.sum())
""",
}
