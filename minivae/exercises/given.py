"""The functions of the package that some exercises give: one import line in the learner's file."""

from minivae.gaussian import reparameterize_backward
from minivae.objective import OBJECTIVES
from minivae.ops import ACTIVATIONS, affine_backward, log_sum_exp_backward, mlp_backward, sigmoid

__all__ = [
    "ACTIVATIONS", "OBJECTIVES", "affine_backward", "log_sum_exp_backward", "mlp_backward", "reparameterize_backward",
    "sigmoid",
]  # fmt: skip
