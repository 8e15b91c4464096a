"""Ways to work with the ledger.

    questions    computed answers to questions that the sources leave open
    compare      the same quantity in every source, side by side
    trace        one training step of minivae, line by line
    fourways     the gradient of that step, computed in four ways
    code_map     the entries and the tests that check a function of minivae
    flashcards   the ledger as flashcards
    quiz         flashcards in the terminal
"""
