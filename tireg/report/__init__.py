"""What people look at: contact sheets drawn from pictures."""
