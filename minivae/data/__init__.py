"""Data: the bundled digits, and files.

    dataset      a data set: rows to train on and rows held out; the bundled digits
    files        load: .npz, .npy, .csv, IDX, the directory of MNIST
    formats      strict readers of .npy, .npz and IDX: the right array or an error, nothing is executed
"""

from minivae.data.dataset import Dataset, Grey, digits, draw_binary, hold_out
from minivae.data.files import DataError, load, read_csv

__all__ = ["DataError", "Dataset", "Grey", "digits", "draw_binary", "hold_out", "load", "read_csv"]
