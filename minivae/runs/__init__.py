"""Runs: save a training run to a directory, and read it again.

    directory    the directory of a run: config.json, history.csv, model.npz, results.json and figures
    checkpoint   model.npz: the parameters of a model and the state of its training
    files        write a file so that a crash leaves either the complete old file or the complete new file
"""

from minivae.runs.directory import (
    Run,
    alone,
    create,
    damaged,
    holds_run,
    left_over,
    listed,
    locked,
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
    "Run", "alone", "create", "damaged", "holds_run", "left_over", "listed", "locked", "make_directory",
    "must_be_directory", "must_hold", "read", "read_config", "read_history", "read_json", "results", "write", "write_json",
]  # fmt: skip
