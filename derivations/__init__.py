"""Every equation, claim and figure of the tutorials as a function: call it, step through it, check it with numbers.

    odaibo, lm, hong, cards   the entries of each source, in the order of the source; begin with any of these four
    beyond                    our additions: derivations of all hand-written gradients, bounds, exact models
    engine                    the parts of an entry, and its check: draws, computation, verdict
    figures                   the figures of the sources, redrawn; a figure is saved only if its numbers agree with its text
    study                     questions, comparison, trace, map of the code, flashcards, quiz
    pages                     entries as text
    app                       the command `derivations`
"""

from minivae import _moved

_moved.install()


def __getattr__(name: str):
    if old := _moved.fetch("derivations", name):
        return old
    raise AttributeError(f"module 'derivations' has no attribute {name!r}")
