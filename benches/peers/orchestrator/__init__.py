"""Measures Postrider and its rivals side by side. Standard library only."""
