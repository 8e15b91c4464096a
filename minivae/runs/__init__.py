"""Runs: what a training leaves behind, and how it is read again.

    directory    a run is a directory: config.json, history.csv, model.npz, results.json and figures
    checkpoint   a trained model, and the state of its training, in one .npz file
    files        writing a file whole or not at all
"""

from minivae.runs.directory import (
    Run,
    alone,
    create,
    damaged,
    holds_run,
    left_over,
    listed,
    make_directory,
    must_be_directory,
    must_hold,
    read,
    read_config,
    read_history,
    read_json,
    results,
    write,
    write_json,
)

__all__ = [
    "Run", "alone", "create", "damaged", "holds_run", "left_over", "listed", "make_directory", "must_be_directory",
    "must_hold", "read", "read_config", "read_history", "read_json", "results", "write", "write_json",
]  # fmt: skip
