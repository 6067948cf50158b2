"""Hold the documents to what the code says."""
