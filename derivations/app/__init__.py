"""The command `derivations`.

    cli       the parser, and the commands that print the ledger
    study     the commands for studying the ledger
    options   functions that several commands use
"""
