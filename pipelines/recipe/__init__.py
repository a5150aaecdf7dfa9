"""The recipe: what is computed, read strictly from `recipe.toml`. Where things lie is told to the runner.

    tables       a frozen dataclass a table; settings: values laid over them
    loader       reads a recipe; checks: what types do not say; sentences: what is wrong
    words        its names as other programs want them

Light; imports `piecehub.errors` and `piecehub.facts`. Read `loader.load_recipe` first.
"""
