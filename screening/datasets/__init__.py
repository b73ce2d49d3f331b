"""Static checks of data set files."""
