"""The piece: found in the full model, written with its controls. Imports TensorFlow, `training` and what is below.

    roads    cut at a layer, take a layer, the whole model, or its core
    piece    the artifact: weights, how to build it again, re-initialised controls

Read `roads.find_piece` first.
"""
