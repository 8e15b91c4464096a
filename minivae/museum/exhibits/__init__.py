"""The exhibits: published or common bugs, each as a change of a line or two of this package's own source."""

import difflib
import functools
import importlib
from dataclasses import dataclass, field

from minivae.checks import refuse
from minivae.museum.patched import Change

ROOMS = ("objective", "gradient", "bounds", "training", "data")                # the modules that define exhibits
COMMON = "common: a mistake that is easily made; we know of no repository that we can name"


@dataclass(frozen=True)
class Bug:
    """One exhibit.

    Attributes
    ----------
    name, title : str
        The name that a user types; a one-line description.
    seen : str
        Where the bug was seen: in a repository (with a thread, a file or a commit), in a forum, or `COMMON`. No code is
        copied: the bug is re-created here.
    models : str
        The effect of the bug on minivae's models, and why the bug is hard to notice.
    changes : tuple of Change
        The changes that make the bug. Each has the right lines of a module, and the broken lines to use instead.
    settings : dict
        Settings of a training that shows the bug: settings of the model, `samples` (the number of draws of z for each data
        point), `white` (the value of a white pixel).
    changes_decoder : bool
        True if the bug changes p(x|z) itself. Then the exact log p(x) is computed with the broken decoder.
    """

    name: str
    title: str
    seen: str
    models: str
    changes: tuple[Change, ...]
    settings: dict = field(default_factory=dict)
    changes_decoder: bool = False

    @property
    def common(self) -> bool:
        """Return True if `seen` is `COMMON`: the mistake is common, but we can name no repository that has it."""
        return self.seen == COMMON


@functools.cache
def bugs() -> tuple[Bug, ...]:
    """Return all exhibits, room by room."""
    found = [bug for room in ROOMS for bug in importlib.import_module(f"minivae.museum.exhibits.{room}").BUGS]
    if len({bug.name for bug in found}) < len(found):
        refuse("names", "different", str([bug.name for bug in found]), "Rename one.")
    return tuple(found)


def find(name: str) -> Bug:
    """Return the exhibit with this name. Raises ValueError if the name is unknown; the message suggests similar names."""
    known = {bug.name: bug for bug in bugs()}
    if name not in known:
        near = difflib.get_close_matches(name, known, 3, 0)
        refuse("NAME", "the name of an exhibit", repr(name), f"Did you mean {' or '.join(near)}? See `minivae museum`.")
    return known[name]


def room(bug: Bug) -> str:
    """Return the room of a bug: the name of the module that defines it."""
    return next(room for room in ROOMS if bug in importlib.import_module(f"minivae.museum.exhibits.{room}").BUGS)
