"""A whole service that is killed piece by piece while it works. ``make chaos`` runs the long form."""
