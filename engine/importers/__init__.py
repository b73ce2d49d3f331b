"""Model files of every Keras, read as data and rebuilt in Keras 3."""
