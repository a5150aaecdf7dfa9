"""The piece as a Reusable SavedModel. Imports TensorFlow, `extraction` and what is below.

    reusable                           `export`, and what it writes; reexport: the same of a loaded SavedModel
    keras_models, tf_keras_models, low_level     what the exporter must know of a model (`exportable`), for each kind
    reusable_call, reusable_root       the traces, and the object that is saved
    export_options, hyperparameters, frozen, vocabulary, layer_names     what may be asked for
    saved_keras                        a model that lies in a file, loaded, and cut
    replicas                           variables that several devices keep
    randomness, masks                  what inference draws, and what it hands on beside its outputs
    members                            what else an object offers by name
    golden, export_record, export_facts          what is recorded of it

`layer_names` finds the layers that an export names as sub-pieces, so it lives here and not beside the roads.
Read `reusable.export` first.
"""
