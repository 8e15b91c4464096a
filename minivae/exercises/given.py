"""Functions of the package that the learners' files import."""

from minivae.gaussian import reparameterize_backward  # noqa: F401   imported by the learners
from minivae.objective import OBJECTIVES  # noqa: F401
from minivae.ops import ACTIVATIONS, affine_backward, log_sum_exp_backward, mlp_backward, sigmoid  # noqa: F401
