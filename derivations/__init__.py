"""Every equation, claim and figure of the tutorials as a function: call it, step through it, check it with numbers.

    odaibo, lm, hong, cards   the entries, in the order of each source: any of their files is a good place to begin
    beyond                    our additions: every hand-written gradient, bounds, exact models
    engine                    the entries: how they are drawn, computed and judged
    figures                   the figures of the sources redrawn, each proving what it shows before it is saved
    study                     questions, comparison, trace, map of the code, flashcards, quiz
    pages                     entries as text
    app                       the command
"""

from minivae import _moved

_moved.install()


def __getattr__(name: str):
    if old := _moved.fetch("derivations", name):
        return old
    raise AttributeError(f"module 'derivations' has no attribute {name!r}")
