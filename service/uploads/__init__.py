"""Receives uploads: whole bodies, forms, and resumable uploads (tus)."""
