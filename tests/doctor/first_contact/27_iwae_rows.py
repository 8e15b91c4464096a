import numpy as np

axis = 1     # log_w is (batch, n_importance_samples)


def logmeanexp(a, axis):
    m = a.max(axis=axis, keepdims=True)
    return np.squeeze(m, axis=axis) + np.log(np.mean(np.exp(a - m), axis=axis))


def iw_bound(log_w):
    """one bound per data point"""
    return logmeanexp(log_w, axis)


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)
