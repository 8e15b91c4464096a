"""Functions of the package that the learners' files import."""

from minivae.gaussian import reparameterize_backward
from minivae.objective import OBJECTIVES
from minivae.ops import ACTIVATIONS, affine_backward, log_sum_exp_backward, mlp_backward, sigmoid

__all__ = [
    "ACTIVATIONS", "OBJECTIVES", "affine_backward", "log_sum_exp_backward", "mlp_backward", "reparameterize_backward",
    "sigmoid",
]  # fmt: skip
