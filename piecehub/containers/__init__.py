"""What a container needs before TFX is there, which takes nine seconds to import. Light; imports `facts`.

    code               the digest of the code that a component runs, which package and image must agree on
    recipe_folder      what a recipe's code can read of the recipe's folder
    door               what stands around the work of every component: that digest compared, and provenance left
    entrypoint         the command of every container on Kubeflow; light: components that do without TFX
    executor_input     what Kubeflow's launcher hands over, as TFX reads it, and back
    failures           what a retry finds of an attempt that failed for good

Read `code.code_digest` first, then `entrypoint.main`.
"""
