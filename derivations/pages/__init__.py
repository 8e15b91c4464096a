"""Entries as text.

    glossary     the words for verdicts, explained
    records      facts about an entry: judgement, sides at a point, code; also as JSON
    unicode      formulas: from LaTeX to a line of Unicode text

    terminal     the list, the table of verdicts, the page of an entry
    errata       the faults, then loose wording and damage by copying
    book         the ledger as one page for the browser
    book_entry   of the book: an entry
    book_code    of the book: code with links on names
    book_study   of the book: questions, lessons, bugs, losses
    book_text    of the book: sentences, points and numbers
    mathml       formulas: from LaTeX to MathML
    html         elements that escape text; refuses dead links and pictures without an alt text
"""
