"""Data sets of any format and size as rows, split and fed to models. See docs/data.md."""
