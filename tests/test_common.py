"""scikit-learn's own checks: all of them, none expected to fail."""

import os

import pytest
import sklearn
from _estimators import ESTIMATORS, VARIANTS, each_setting
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_param_validation,
    parametrize_with_checks,
)


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(VARIANTS)
def test_scikit_learn_checks_of_variants(estimator, check):
    check(estimator)


@each_setting
def test_parameter_constraints_are_complete(estimator):
    check_param_validation(type(estimator).__name__, estimator)


@each_setting
def test_column_names_are_checked(estimator):
    check_dataframe_column_names_consistency(type(estimator).__name__, estimator)


def test_no_check_is_skipped_for_lack_of_a_package():
    import pandas

    assert pandas.__version__
    assert os.environ.get("SCIPY_ARRAY_API") == "1"
    assert tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 7)
