"""Data sets to try extreme multi-label classifiers on, none of which is downloaded."""

from skxmc.datasets._base import get_data_home
from skxmc.datasets._folder import load_dataset
from skxmc.datasets._mapped import convert_xmc_text, load_mapped, write_mapped
from skxmc.datasets._stdlib import load_stdlib_calls
from skxmc.datasets._synthetic import make_xmc_classification
from skxmc.datasets._xmc_text import dump_xmc_text, load_xmc_text

__all__ = [
    "convert_xmc_text",
    "dump_xmc_text",
    "get_data_home",
    "load_dataset",
    "load_mapped",
    "load_stdlib_calls",
    "load_xmc_text",
    "make_xmc_classification",
    "write_mapped",
]
