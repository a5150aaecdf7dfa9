"""What two rooms hand to each other, as values with a JSON form. Light; imports only `errors`.

    handle              publisher/name/version, which everything is called by
    content, seal       what a folder holds, and what a document holds, as digests
    manifest            the facts of a published archive; piece_manifest: those inside a SavedModel
    conformance_report  what the validator found
    provenance, steps   what an artifact was made from
    addresses           which ones are this machine's own
    runs, workdir       a run on disk, and the folder that everything lies in
    kept                who keeps what a killed process leaves, where its disk goes with it
    progress            how far a piece of work is, from who does it to who shows it; quantities: sizes and times
    spans               places that stand for several, one for each day or number
    secrets             what may be one is not shown
    reference           the words for modes and metrics, which tables, pages and plots share
    keras_metadata      the file that only tf_keras' own loader reads
    text_file           text files that a person names; pointers: what Git LFS leaves in the place of a file

Read `content.py` first: every other identity is made of its digest.
"""
