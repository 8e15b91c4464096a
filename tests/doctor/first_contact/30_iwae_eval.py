import numpy as np

axis = 1


def iw_bound(log_w):
    """importance weighted estimate of log p(x), log_w is (B, L)"""
    w = np.exp(log_w)
    return np.log(np.mean(w, axis=axis))
