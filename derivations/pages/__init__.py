"""Entries as text.

    glossary     the words for verdicts, explained
    records      what is known of an entry: judgement, sides at a point, code; as JSON
    unicode      LaTeX as plain letters
    terminal     list, table of verdicts, the page of an entry
    errata       one erratum for each fault; loose wording, damage by copying
"""
