"""Tests of the built-in base."""
