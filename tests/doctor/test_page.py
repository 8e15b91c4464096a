"""minivae/doctor/README.md: the recipe works with stand-ins for PyTorch, JAX and Keras, and the numbers are right."""

import re
import sys
from types import ModuleType

import numpy as np
import pytest

from minivae.doctor import examine
from minivae.museum.exhibits import bugs
from tests.doctor.fresh import RIGHT, Tensor
from tests.doctor.styles import STYLES
from tests.doctor.test_doctor import INVISIBLE, VISIBLE
from tests.doctor.test_first_contact import RECORDED, TRUTH
from tests.helpers.readme import PAGES


class Convertible:
    """A stand-in for an array of JAX: it is float32, and only np.asarray converts it to NumPy."""

    def __init__(self, value):
        self.value = np.asarray(value, dtype=np.float32)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.value, dtype)


class Eager:
    """A stand-in for a tensor of TensorFlow: it is float32, and only .numpy() returns its numbers."""

    def __init__(self, value):
        self.value = np.asarray(value, dtype=np.float32)

    def numpy(self):
        return self.value


class FromNumPy:
    """A stand-in for the result of torch.from_numpy: it is float64 until its method .float() is called."""

    def __init__(self, array):
        self.array = array

    def float(self):
        return self.array.astype(np.float32)


# {import line of a framework: (name of the imitated module, its functions, class of the tensors that the model returns)}
FRAMEWORKS = {
    "import torch": ("torch", {"from_numpy": FromNumPy}, Tensor),
    "import jax.numpy as jnp": ("jax.numpy", {"asarray": lambda a: a.astype(np.float32)}, Convertible),
    "import tensorflow as tf": ("tensorflow", {"constant": lambda a, dtype: a.astype(dtype)}, Eager),
}
PAGE = PAGES["minivae/doctor/README.md"]
RECIPE = PAGE[PAGE.index("```python\nimport torch\n"):].split("```")[1].removeprefix("python\n")
LINES = re.findall(r"^\| [^|]* \| `(import [^`]*)` \| `([^`]*)` \|$", PAGE, re.MULTILINE)


def test_doctor_readme_has_the_import_line_of_every_framework():
    assert [line for line, _ in LINES] == [*FRAMEWORKS]
    assert RECIPE.startswith(LINES[0][0]) and RECIPE.count(LINES[0][1]) == 1


@pytest.mark.parametrize("line, tensor", LINES)
def test_recipe_of_the_doctor_readme_works_with_a_fake_framework(line, tensor, monkeypatch):
    name, functions, result = FRAMEWORKS[line]

    def vae_loss(output, x, mu, log_var):
        assert {a.dtype for a in (output, x, mu, log_var)} == {np.dtype(np.float32)}
        kl = (mu**2 + np.exp(log_var) - 1 - log_var).sum() / 2
        return result((x * np.log(x / output) + (1 - x) * np.log((1 - x) / (1 - output))).sum() + kl)

    def reparameterize(mu, log_var):
        return result(mu + np.exp(log_var / 2) * np.random.standard_normal(mu.shape))

    made = {part: ModuleType(part) for part in (name.split(".")[0], name, "my_model")}
    vars(made[name]).update(functions)
    made[name.split(".")[0]].numpy = made[name]
    made["my_model"].vae_loss, made["my_model"].reparameterize = vae_loss, reparameterize
    for part, module in made.items():
        monkeypatch.setitem(sys.modules, part, module)
    names = {}
    exec(RECIPE.replace(LINES[0][0], line).replace(LINES[0][1], tensor), names)
    report = examine(loss=names["loss"], sample=names["sample"])
    assert report.wrong == [] and "same-gaussian" in {finding.key for finding in report.findings}
    assert report.findings[0].words.startswith("sum_B sum_D")


def test_counts_in_the_doctor_readme_agree_with_the_recorded_findings():
    text = " ".join(PAGE.split())
    score = re.search(
        r"has (\d+) exhibits: .*? finds something in (\d+) of them; .*? other (\d+)\. .*? none of (\d+) right "
        r"implementations .*? wrote (\d+) files for it\. The doctor finds something in (\d+) of the (\d+) faulty files, "
        r"and calls none of the (\d+) right files \"wrong\"",
        text,
    )
    right = [file for file in TRUTH if TRUTH[file]["right"]]
    faulty = [file for file in TRUTH if file not in right]
    noticed = sum(bool(RECORDED[file]) for file in faulty)
    right_or_style = len(RIGHT | STYLES) + len(right)
    counted = len(bugs()), len(VISIBLE), len(INVISIBLE), right_or_style, len(TRUTH), noticed, len(faulty), len(right)
    assert tuple(map(int, score.groups())) == counted
