"""The commands. Nothing here is needed by who uses the library.

    cli          the parser: every command and option
    train        train: a fresh or a resumed run, to its end, measured and drawn
    evaluate     evaluate: bounds, gap, rates of a run
    sweep        sweep: many short trainings
    runner       what every command does alike: exit codes, streams, interrupts
    progress     one line that moves on a terminal
"""
