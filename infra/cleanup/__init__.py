"""Removes what has expired and what crashes left behind."""
