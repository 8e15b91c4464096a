import numpy as np

axis = 0      # log_w has shape (L, B): importance samples first


def log_mean_exp(a, ax=-1):
    m = np.max(a, axis=ax, keepdims=True)
    return np.log(np.mean(np.exp(a - m), axis=ax)) + np.squeeze(m, axis=ax)


def iw_bound(log_w):
    """average over the batch of the importance weighted bounds"""
    return np.mean(log_mean_exp(log_w))
