"""Data: the bundled digits, files, and arrays.

    dataset      a data set: rows to train on and rows held out; the bundled digits
    files        load, from_arrays: find the reader of a file by its content
    formats      strict readers of .npy, .npz and IDX: the right array or an error, nothing is executed
    tables       text: .csv, .tsv, with or without a header and a column of labels
    archives     .npz files: finds the data by the usual names of arrays
    mnist        IDX files: all of a directory, or those whose names begin with a prefix
    foreign      files that minivae does not read: their kind, and how to convert them
    remedies     commands that repair a table in a text file
    raw          the arrays that a reader returns, and the user's settings
    meaning      what the arrays mean: pictures, labels, grey levels, counts, the held-out part
    description  one line about the data that were read
"""

from minivae.data.dataset import Dataset, Grey, digits, draw_binary, hold_out
from minivae.data.files import from_arrays, load
from minivae.data.raw import DataError

__all__ = ["DataError", "Dataset", "Grey", "digits", "draw_binary", "from_arrays", "hold_out", "load"]
