"""Examples (TFRecords of `tf.Example`): read once, put in order, then streams. Imports TensorFlow, `facts`.

    records      written: what a recipe's data module calls
    layout       folders of splits, and the files in them; tfrecord_files: one file, record by record
    ingest       the one pass: canonical order, digests, statistics; on_beam: the same on many machines
    canonical    what is equal, and in which order; shards: one file of it, with what is counted
    features     a curated schema as features to parse
    stream       a split as batches of tensors, in an order that seed and epoch fix
    anomalies    what stops a training
    schema_file  the schema itself, which needs no TensorFlow

Read `ingest.ingest` first.
"""
