"""Every equation, claim and figure of a tutorial as a function that can be called, stepped through, and fail.

    odaibo, lm, hong, cards   the entries, in the order of each source: any of their files is a good place to begin
    beyond                    what the sources leave out: every hand gradient, bounds, exact models
    engine                    what an entry is, how it is drawn, computed and judged
    figures                   the figures of the sources redrawn, each proving what it shows before it is saved
    study                     questions, compare, trace, code_map, flashcards, quiz
    pages                     entries as text
    app                       the command
"""

from minivae import _moved

_moved.install()


def __getattr__(name: str):
    if old := _moved.fetch("derivations", name):
        return old
    raise AttributeError(f"module 'derivations' has no attribute {name!r}")
