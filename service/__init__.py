"""The gateway: HTTP in, rows and blobs out. Never imports the engine or anything numeric."""
