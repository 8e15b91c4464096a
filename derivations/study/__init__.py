"""Ways to work with the ledger.

    questions    what the sources ask, answered by computation
    compare      the same thing in every source, side by side
    trace        one training step of minivae, line by line; fourways: its gradient in four ways
    code_map     what proves a function of minivae, and which tests hold it
    flashcards   the ledger as cards; quiz: asked in the terminal
"""
