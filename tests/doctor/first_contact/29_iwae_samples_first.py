import numpy as np

axis = 0     # samples first, as torch.distributions' rsample([L]) gives them


def iw_bound(log_w):
    L = log_w.shape[axis]
    total = np.logaddexp.reduce(log_w, axis=axis) - np.log(L)
    return total.mean()     # batch average


def sample(mu, log_var, eps):
    return mu + np.exp(0.5 * log_var) * eps
