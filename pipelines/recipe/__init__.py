"""The recipe: what is computed, read strictly from `recipe.toml`. Where things lie is told to the runner.

    tables       a frozen dataclass a table; settings: values laid over them; reference: the page of all keys
    loader       reads a recipe, and tells all that is wrong with it
    typed        keys and types; sentences: what is wrong with them; spelling: what was meant
    checks       what types do not say; training_checks: of `[train]`; page_texts: of the model's page
    files        files and functions that it names; python_files: what these define, without running them
    faults       a fault, and how it is told; lines: where each entry stands
    words        its names as other programs want them

Light; of `piecehub` it imports errors, facts, and light modules of conformance and transfer that hold the same rules.
Read `loader.load_recipe` first.
"""
