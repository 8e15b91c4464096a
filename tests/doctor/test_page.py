"""The page of the doctor: its recipe for PyTorch works with a stand-in whose arrays behave like tensors."""

import sys
from types import ModuleType

import numpy as np
import pytest

from minivae.doctor import examine
from tests.doctor.fresh import Tensor
from tests.helpers.readme import PAGES


def test_pytorch_recipe_of_the_page_works_with_a_stand_in(monkeypatch):
    page = PAGES["minivae/doctor/README.md"]
    recipe = page[page.index("```python\nimport torch\n"):].split("```")[1].removeprefix("python\n")

    class Input:
        def __init__(self, array):
            self.array = array

        def float(self):
            return self.array.astype(np.float32)

    def vae_loss(x, output, mu, log_var):
        kl = (mu**2 + np.exp(log_var) - 1 - log_var).sum() / 2
        return Tensor(((x - output) ** 2).sum() + kl)

    torch, model = ModuleType("torch"), ModuleType("my_model")
    torch.from_numpy, model.vae_loss = Input, vae_loss
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "my_model", model)
    names = {}
    exec(recipe, names)
    found = examine(loss=names["loss"])
    assert found.wrong == [] and found.rosetta["reading"]["beta"] == pytest.approx(0.5)
