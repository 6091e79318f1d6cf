"""Loading base models from local folders, and giving them new token rows."""
