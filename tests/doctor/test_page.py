"""The page of the doctor: its recipe for PyTorch works with a stand-in whose arrays behave like tensors."""

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


def test_pytorch_recipe_of_the_page_works_with_a_stand_in(monkeypatch):
    page = PAGES["minivae/doctor/README.md"]
    recipe = page[page.index("```python\nimport torch\n"):].split("```")[1].removeprefix("python\n")

    class Input:
        def __init__(self, array):
            self.array = array

        def float(self):
            return self.array.astype(np.float32)

    def vae_loss(output, x, mu, log_var):
        kl = (mu**2 + np.exp(log_var) - 1 - log_var).sum() / 2
        return Tensor((x * np.log(x / output) + (1 - x) * np.log((1 - x) / (1 - output))).sum() + kl)

    def reparameterize(mu, log_var):
        return Tensor(mu + np.exp(log_var / 2) * np.random.standard_normal(mu.shape))

    torch, model = ModuleType("torch"), ModuleType("my_model")
    torch.from_numpy, model.vae_loss, model.reparameterize = Input, vae_loss, reparameterize
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "my_model", model)
    names = {}
    exec(recipe, names)
    report = examine(loss=names["loss"], sample=names["sample"])
    assert report.wrong == [] and "same-gaussian" in {finding.key for finding in report.findings}
    assert report.findings[0].words.startswith("sum_B sum_D")


def test_page_states_the_score_that_the_records_give():
    text = " ".join(PAGES["minivae/doctor/README.md"].split())
    score = re.search(
        r"museum's (\d+) exhibits the doctor finds something in (\d+); .*? other (\d+)\. .*? in (\d+) right implementations"
        r".*? wrote (\d+) files for it\. It remarks on (\d+) of the (\d+) with a fault, and calls none of the (\d+) right",
        text,
    )
    right = [file for file in TRUTH if TRUTH[file]["right"]]
    faulty = [file for file in TRUTH if file not in right]
    noticed = sum(bool(RECORDED[file]) for file in faulty)
    own = len(RIGHT) + len(STYLES) + len(right)
    counted = len(bugs()), len(VISIBLE), len(INVISIBLE), own, len(TRUTH), noticed, len(faulty), len(right)
    assert tuple(map(int, score.groups())) == counted
