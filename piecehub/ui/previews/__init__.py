"""What lies in an artifact, as values that a page draws: tables, curves, checks, texts.

    values     what a preview is
    written    of `preview.json`, which a component writes beside what it made
    ours       of the documents of our own components
    stock      of TFX's schema, statistics and anomalies, by their protos
    artifact   all of one artifact: the readers in turn, its drawings and its files

Whatever is read is somebody's file: it may be large, damaged or hostile. It is read up to a size, below the artifact's
folder only, through no link; what cannot be read is a sentence in its place. Read `artifact.py` first.
"""
