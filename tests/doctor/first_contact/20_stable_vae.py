import numpy as np

# training blew up once, so the log variance is limited before it is used

LOGVAR_MIN, LOGVAR_MAX = 0.0, 10.0


def _safe(log_var):
    return np.clip(log_var, LOGVAR_MIN, LOGVAR_MAX)


def sample(mu, log_var, eps):
    return mu + np.exp(0.5 * _safe(log_var)) * eps


def kl(mu, log_var):
    lv = _safe(log_var)
    return 0.5 * np.sum(np.exp(lv) + mu ** 2 - 1 - lv, axis=1)


def loss(x, output, mu, log_var):
    return np.mean(0.5 * np.sum((x - output) ** 2, axis=1) + kl(mu, log_var))
