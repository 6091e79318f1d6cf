"""Tests of the Hub room and its workflows, against the loopback Hub."""
