"""Joins the components into a pipeline, and chooses what runs it."""
