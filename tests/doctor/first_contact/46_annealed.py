import numpy as np


class Annealer:
    """linear KL warm-up over the first 100 steps"""

    def __init__(self, total=100):
        self.total = total
        self.step = 0

    def weight(self):
        self.step += 1
        return min(1.0, self.step / self.total)


annealer = Annealer()


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    # used for training and for validation
    rec = 0.5 * np.sum((x - output) ** 2, axis=1)
    return np.mean(rec) + annealer.weight() * np.mean(kl(mu, log_var))


def sample(mu, log_var, eps):
    return mu + eps * np.exp(0.5 * log_var)
