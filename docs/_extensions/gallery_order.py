"""The order of the gallery: first steps, models and their parameters, understanding."""

SCRIPTS = (
    "plot_quick_start.py",
    "plot_texts.py",
    "plot_search.py",
    "plot_classes.py",
    "plot_new_labels.py",
    "plot_dial.py",
    "plot_size.py",
    "plot_heads.py",
    "plot_early_stopping.py",
    "plot_displays.py",
    "plot_explain.py",
    "plot_calibration.py",
    "plot_embeddings.py",
)


def place(filename):
    """Return the place of a script in the gallery."""
    return SCRIPTS.index(str(filename))
