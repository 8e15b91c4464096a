"""Hong, "Derivations": importing this enters it all.

A file holds the entries under one or two headings of the source. The order of the files here, and of the entries in
each, is the order of the ledger.
"""
