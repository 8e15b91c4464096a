"""Exercises: write the gradients yourself, and be told what is wrong with them. The modules:

    prompts      the texts: prompts and hints
    catalogue    the exercises: their blank functions, and the inputs that the judge uses
    cut          cuts blanks and solutions out of the package's own source
    answers      short answers to exercises for which the package has longer code, or no code
    given        functions of the package that some exercises import
    pupil        the program that runs a submission, in a process of its own
    outside      starts the process of `pupil`, with limits
    judge        calls the functions of a submission, and judges the returned arrays
    compare      compares the returned arrays with the right ones and with known wrong versions
    sentences    the messages about one wrong array
    variants     known wrong versions of every function
    confusions   a list of common wrong versions
    bonus        the exercise in which the learner writes the check
    report       all verdicts, as text and JSON
    grade        the submissions of a class
    notebook     exercises and lessons as Jupyter notebooks
    lessons      eighteen frequent questions, each answered by a number and a figure
    actions      the actions of the command, such as check, hint and show
    command      reads the action and the options that follow `minivae exercises`
"""
