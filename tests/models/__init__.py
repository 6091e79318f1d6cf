"""Tests of tireg.models."""
