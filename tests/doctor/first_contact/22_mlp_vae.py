import numpy as np

D, H, J = 12, 16, 3
_r = np.random.RandomState(7)
W1 = _r.randn(D, H) * 0.3
Wm = _r.randn(H, J) * 0.3
Wv = _r.randn(H, J) * 0.3
V1 = _r.randn(J, H) * 0.5
V2 = _r.randn(H, D) * 0.5


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def encode(x):
    h = np.tanh(x @ W1)
    return h @ Wm, h @ Wv


def decode(z):
    h = np.tanh(z @ V1)
    return sigmoid(h @ V2)


def sample(mu, log_var, eps):
    return mu + np.exp(0.5 * log_var) * eps


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - log_var - 1, axis=1)


def bce_with_logits(logits, target):
    return np.maximum(logits, 0) - logits * target + np.log1p(np.exp(-np.abs(logits)))


def loss(x, output, mu, log_var):
    rec = bce_with_logits(output, x).sum(axis=1)
    return np.mean(rec + kl(mu, log_var))
