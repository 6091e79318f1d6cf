"""Tests of tireg.workflows."""
