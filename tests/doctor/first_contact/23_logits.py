import numpy as np

D, H, J = 12, 16, 3
_r = np.random.RandomState(3)
params = dict(We=_r.randn(D, H) * .3, Wm=_r.randn(H, J) * .3, Ws=_r.randn(H, J) * .3,
              Wd=_r.randn(J, H) * .5, Wo=_r.randn(H, D) * .5)


def encode(x):
    h = np.maximum(x @ params['We'], 0)
    return h @ params['Wm'], h @ params['Ws']


def decode(z):
    """returns logits; apply a sigmoid to look at pictures"""
    return np.maximum(z @ params['Wd'], 0) @ params['Wo']


def log_px_given_z(x, logits):
    return np.sum(x * logits - np.logaddexp(0, logits), axis=1)


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - log_var - 1, axis=1)


def loss(x, output, mu, log_var):
    return -np.mean(log_px_given_z(x, output) - kl(mu, log_var))
