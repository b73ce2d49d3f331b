"""Set a cut network right without labels or training: least squares, layer by layer, and BatchNorm statistics."""
