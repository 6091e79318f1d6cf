"""Where embeddings live: one SQLite database and the files beside it that can rebuild it."""
