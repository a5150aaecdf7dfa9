"""What several rooms with TensorFlow need, and none of them owns. Imports `errors`.

    specs           tensor specs as JSON facts, and back
    regularizers    regularizers as facts
    literal_path    paths that TensorFlow would take for patterns
    picture_files   files of pictures as numbers; exif: how to turn them, picture_bytes: their formats
    fresh           one of our functions in a fresh process; whole_folder: a folder that is there whole or not at all

Read `fresh.run_fresh` first.
"""
