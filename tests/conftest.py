"""Hypothesis draws the same examples every time; with HYPOTHESIS_PROFILE=random, new ones and many more."""

import os

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=200)
settings.register_profile("random", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
