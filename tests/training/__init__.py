"""Tests of tireg.training."""
