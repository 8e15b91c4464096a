import numpy as np

axis = 1


def iw_bound(log_w):
    """(B, L) -> (B,), importance weighted log likelihood"""
    m = np.max(log_w, axis=axis, keepdims=True)
    log_norm = m + np.log(np.exp(log_w - m))
    return np.mean(log_norm, axis=axis)
