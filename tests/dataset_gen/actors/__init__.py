"""Tests of the actors of scenes."""
