"""The plain data and its arithmetic."""
