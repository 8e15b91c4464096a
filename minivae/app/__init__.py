"""The commands of `minivae`. Users of the library need nothing from here.

    cli          the parser: every command and option; plot, sample, runs
    train        train: a new or a resumed run, to its end, measured and drawn
    evaluate     evaluate: bounds, gap and rates of a run
    sweep        sweep: many short trainings
    runner       the frame of every command: exit codes, streams, interrupts
    progress     progress and messages on stderr
"""
