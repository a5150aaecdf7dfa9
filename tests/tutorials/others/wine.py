"""A table with missing values, of three classes only."""

from sklearn.datasets import load_wine

wine = load_wine(as_frame=True)
table = wine.frame
table["target"] = [["barolo", "grignolino", "barbera"][number] for number in table["target"]]
table.loc[::9, "ash"] = None
table.to_csv("table.csv", index=False)
