"""The command line: one file a noun. Light: what is heavy is imported inside the command that needs it.

    main       the program: errors become one sentence and an exit code
    options    what commands share
    run, runs, recipe, models, check, evaluate, compare, store, export, trust, kubeflow

It may import everything. Read `main.py` first.
"""
