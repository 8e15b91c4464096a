"""The commands of `minivae`. Users of the library need nothing from this folder.

    cli          the list of commands; the commands plot, sample and runs
    options      the options of every command, with their help texts
    data         the command data: print what `train` would read from a file, draw a sheet of its rows
    typed        commands to paste into a shell

    train        the command train: start or resume a run, train it, save it often
    run_data     the data of a run, in the form that its likelihood needs
    results      measure a run, draw its figures, print its numbers

    evaluate     the command evaluate: bounds, gap and rate (the KL) of a run
    sweep        the command sweep: many short trainings

    process      run functions in other processes, while this process continues
    runner       run a command: exit codes, streams, interrupts
    progress     progress and messages on stderr
"""
