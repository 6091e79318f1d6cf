"""Plain data and arithmetic: what tireg speaks of, with nothing heavy behind it."""
