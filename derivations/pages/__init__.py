"""Entries of the ledger as text, Markdown and HTML.

    glossary     explanations of the verdicts
    records      facts about an entry: judgement, sides at a point, code; also as JSON
    unicode      formulas: from LaTeX to a line of Unicode text

    terminal     the list, the table of verdicts, the page of an entry
    errata       faults, loose wording and damage by copying
    book         the ledger as one HTML page for the browser
    book_entry   part of the book: an entry
    book_code    part of the book: code in which names are links
    book_study   part of the book: questions, lessons, bugs, a table of public losses
    book_text    part of the book: sentences, points and numbers
    mathml       formulas: from LaTeX to MathML
    html         HTML elements; a check that refuses dead links and pictures without an alt text
"""
