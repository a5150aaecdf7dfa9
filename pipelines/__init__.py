"""Joins the components into a pipeline, and chooses what runs it. Imports everything.

    recipe/          a recipe's tables, read strictly; recipes/: those that are shipped
    pipeline         the journey of the data; piece_journey: its second half, piece by piece
    planning/        what a run would do, and why, before it does it; cost/: what that takes
    local_runner     on this machine
    kubeflow_runner  as a package for Kubeflow Pipelines; kubeflow_tasks: what only that has, mend, platform
    sweep            what a killed run left, closed at the next one's start; gc: what nobody needs, removed
    operating/       such a package on a server: uploaded, run, scheduled, looked into
    evaluation       the evaluator alone, on anybody's SavedModel

Read `pipeline.create_pipeline` first.

A user may have a folder `pipelines` without `__init__.py`, whose modules are found here too.
"""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)
