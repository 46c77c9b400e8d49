"""Captions made by a model or read from a file, matched with their references, scored; and two systems compared."""
