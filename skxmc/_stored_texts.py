"""How vectorizers of texts are stored in model files."""

import numpy as np
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)

from skxmc._model_kinds import register

_PARAMS = {"params": "dict"}
_VOCABULARY = {"terms": "object[n_terms]", "is_fixed": "bool"}


def _params(vectorizer):
    """Return parameters, with the type of numbers as a dtype."""
    params = vectorizer.get_params(deep=False)
    return {"params": params | {"dtype": np.dtype(params["dtype"])}}


def _make(cls, state):
    params = state["params"]
    if params.keys() != cls().get_params(deep=False).keys():
        raise ValueError(f"it has the parameters {sorted(params)}.")
    # The words to leave out come back as a list, which scikit-learn takes too.
    vectorizer = cls(**params | {"dtype": np.dtype(params["dtype"]).type})
    vectorizer._validate_params()
    return vectorizer


def _counts_state(vectorizer):
    if not hasattr(vectorizer, "vocabulary_"):
        return _params(vectorizer)
    terms = np.empty(len(vectorizer.vocabulary_), dtype=object)
    for term, column in vectorizer.vocabulary_.items():
        terms[column] = term
    is_fixed = bool(vectorizer.fixed_vocabulary_)
    return _params(vectorizer) | {"terms": terms, "is_fixed": is_fixed}


def _restore_counts(cls, state):
    vectorizer = _make(cls, state)
    if "terms" not in state:
        return vectorizer
    vectorizer.vocabulary_ = {term: i for i, term in enumerate(state["terms"])}
    vectorizer.fixed_vocabulary_ = state["is_fixed"]
    return vectorizer


def _tfidf_state(vectorizer):
    state = _counts_state(vectorizer)
    if "terms" in state:
        state["transformer"] = vectorizer._tfidf
    return state


def _restore_tfidf(cls, state):
    vectorizer = _restore_counts(cls, state)
    if "transformer" in state:
        vectorizer._tfidf = state["transformer"]
    return vectorizer


def _weights_state(transformer):
    return {
        "params": transformer.get_params(deep=False),
        "n_features_in_": transformer.n_features_in_,
        "idf": getattr(transformer, "idf_", None),
    }


def _restore_weights(cls, state):
    transformer = cls(**state["params"])
    transformer._validate_params()
    transformer.n_features_in_ = state["n_features_in_"]
    if state["idf"] is not None:
        transformer.idf_ = state["idf"]
    return transformer


def _text_state(model):
    fitted = ("classes_", "_is_single_label", "vectorizer_", "classifier_")
    state = {"params": model.get_params(deep=False)}
    return state | {name: getattr(model, name) for name in fitted}


def _restore_text(cls, state):
    params = state.pop("params")
    model = cls(**params)
    model._validate_params()
    vars(model).update(state)
    return model


def register_text_classifier(cls):
    """Let the classifier of texts be stored, and the vectorizers that it may have."""
    vectorizers = "TfidfVectorizer/CountVectorizer/HashingVectorizer"
    register(
        cls,
        _PARAMS
        | {
            "classes_": "object[n_names] | int64[n_names]",
            "_is_single_label": "bool",
            "vectorizer_": vectorizers,
            "classifier_": (
                "DECLAREClassifier/MultiHeadEncodingClassifier/UniDECClassifier"
            ),
        },
        get=_text_state,
        restore=_restore_text,
    )
    register(HashingVectorizer, _PARAMS, get=_params, restore=_make)
    register(
        CountVectorizer,
        _PARAMS | _VOCABULARY,
        get=_counts_state,
        restore=_restore_counts,
    )
    register(
        TfidfVectorizer,
        _PARAMS | _VOCABULARY | {"transformer": "TfidfTransformer"},
        get=_tfidf_state,
        restore=_restore_tfidf,
    )
    register(
        TfidfTransformer,
        _PARAMS
        | {
            "n_features_in_": "size n_terms",
            "idf": "float32/float64[n_terms] | none",
        },
        get=_weights_state,
        restore=_restore_weights,
    )
