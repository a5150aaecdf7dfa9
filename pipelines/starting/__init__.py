"""Writes a recipe for data that somebody has: `piecehub init`.

    PATH ─ images, texts, tables, records ─► Looked ─ plan ─► Plan ─ writing ─► a recipe that runs as it is

`templates/` are the files of such a recipe, with constants that are filled in: a `data.py` for each form of data, a
`model.py` for each kind of example. A looker reads with the same functions that the recipe reads with later.
"""
