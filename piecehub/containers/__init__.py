"""What a container needs before TFX is there, which takes seven seconds to import. Light; imports `facts`.

    code               the digest of the code that a component runs, which package and image must agree on
    recipe_folder      what a recipe's code can read of the recipe's folder
    executor_input     what Kubeflow's launcher hands over, as TFX reads it, and back

Read `code.code_digest` first.
"""
