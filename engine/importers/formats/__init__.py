"""The file formats of Keras 1, 2 and SavedModel."""
