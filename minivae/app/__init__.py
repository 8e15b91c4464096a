"""The commands of `minivae`. Users of the library need nothing from this folder.

    cli          every command and option; the commands plot, sample and runs
    data         the command data: print what would be read from a file, draw a sheet of samples
    typed        commands to paste into a shell
    train        the command train: start or resume a run, measure it, draw its figures
    evaluate     the command evaluate: bounds, gap and rates of a run
    sweep        the command sweep: many short trainings

    runner       run a command: exit codes, streams, interrupts
    progress     progress and messages on stderr
"""
