"""Axes and styles: the only place that imports matplotlib."""

# Okabe and Ito's colours, told apart by the colour-blind; neighbours in this order also
# differ in lightness, and each comes with a marker or hatch of its own.
_COLORS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#000000",
    "#56B4E9",
    "#D55E00",
    "#CC79A7",
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_HATCHES = ("", "//", "..", "\\\\", "xx", "oo", "--")


def require_matplotlib(display):
    """Raise ImportError, saying what to install, if there is no matplotlib.

    Parameters
    ----------
    display : type or object
        The display that needs it, or its class.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        name = getattr(display, "__name__", type(display).__name__)
        raise ImportError(
            f"{name} needs matplotlib, which is not installed; run "
            'pip install "skxmc[plot]".'
        ) from error


def set_axes(display, ax):
    """Set `ax_` and `figure_` of a display, to a new figure if `ax` is None.

    Parameters
    ----------
    display : object
        The display that is about to draw.
    ax : matplotlib Axes or None
        Where to draw.

    Returns
    -------
    ax : matplotlib Axes
    """
    require_matplotlib(display)
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(layout="constrained")
    display.ax_, display.figure_ = ax, ax.figure
    return ax


def n_lines(*axes):
    """Count the lines of displays in the axes: those with markers."""
    lines = [line for ax in axes for line in ax.get_lines()]
    return sum(line.get_marker() not in ("None", "", " ") for line in lines)


def draw_line(ax, x, y, i, kwargs, **defaults):
    """Draw the i-th of several lines with markers.

    Parameters
    ----------
    ax : matplotlib Axes
        Where to draw.
    x, y : array-like of shape (n,)
        The points.
    i : int
        Number of the line, which decides its style.
    kwargs : dict
        What the user wants of the line; goes before all else.
    **defaults
        What the display wants of it.

    Returns
    -------
    line : matplotlib Line2D
    """
    from matplotlib.lines import Line2D

    style = {
        "color": _COLORS[i % len(_COLORS)],
        "marker": _MARKERS[i % len(_MARKERS)],
        **defaults,
    }
    return ax.plot(x, y, **_merged(style, kwargs, Line2D))[0]


def draw_bars(ax, x, heights, i, kwargs, **defaults):
    """Draw the bars of the i-th of several series.

    Parameters
    ----------
    ax : matplotlib Axes
        Where to draw.
    x, heights : array-like of shape (n,)
        Their middles, and how high they are.
    i : int
        Number of the series, which decides its style.
    kwargs : dict
        What the user wants of the bars; goes before all else.
    **defaults
        What the display wants of them.

    Returns
    -------
    bars : matplotlib BarContainer
    """
    from matplotlib.patches import Rectangle

    style = {
        "color": _COLORS[i % len(_COLORS)],
        "hatch": _HATCHES[i % len(_HATCHES)],
        "edgecolor": "white",
        **defaults,
    }
    return ax.bar(x, heights, **_merged(style, kwargs, Rectangle))


def start_at_zero(ax):
    """Let the y-axis of lines go from 0, with room for markers, to above them all."""
    top = ax.dataLim.y1 if ax.dataLim.y1 > 0 else 1
    ax.set_ylim(-0.03 * top, 1.05 * top)


def draw_legend(*axes, **kwargs):
    """Put one legend for what has a label in any of the axes, if anything has.

    Parameters
    ----------
    *axes : matplotlib Axes
        The legend goes into the last one, which is drawn on top.
    **kwargs
        Arguments of the legend.
    """
    handles: list = []
    for ax in axes:
        handles += ax.get_legend_handles_labels()[0]
        if ax.get_legend():
            ax.get_legend().remove()
    if handles:
        axes[-1].legend(handles=handles, **kwargs)


def _merged(style, kwargs, artist):
    """Let `kwargs` overrule, also where they use a short name such as `c`."""
    from matplotlib.cbook import normalize_kwargs

    return {**style, **normalize_kwargs(kwargs, artist)}
