"""Set up before anything is imported."""

import os

# Without it, scikit-learn's array API check skips silently. scipy reads it on import.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

# Figures of tests and doctests open no window.
os.environ.setdefault("MPLBACKEND", "Agg")
