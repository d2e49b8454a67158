"""The estimators that share one contract, in the settings the tests run them with."""

import pytest

from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier, UniDECClassifier

# Defaults are tuned for tens of thousands of rows; these train on tens of them.
SMALL = {"hidden_layer_sizes": (32,), "max_epochs": 8, "batch_size": 64, "lr": 0.04}
ESTIMATORS = [
    DECLAREClassifier(random_state=0),
    DECLAREClassifier(
        n_components=20,
        ridge_alpha=None,
        hidden_layer_sizes=(32,),
        max_epochs=20,
        batch_size=32,
        lr=0.02,
        dropout=0.1,
        keys="exact",
        similarity="dot",
        sharpening=1,
        n_neighbors=25,
        decoder="neighbors",
        random_state=0,
    ),
    DECLAREClassifier(
        hidden_layer_sizes=(32,), decoder="linear", input_weight=0, random_state=0
    ),
    MultiHeadEncodingClassifier(n_heads=2, random_state=0, **SMALL),
    MultiHeadEncodingClassifier(
        "cascade",
        n_heads=3,
        n_candidate_groups=2,
        label_order="frequency",
        ridge_alpha=None,
        random_state=0,
        **SMALL | {"max_epochs": 15},
    ),
    MultiHeadEncodingClassifier(
        "sampling", n_heads=2, n_sampled_groups=2, random_state=0, **SMALL
    ),
    UniDECClassifier(random_state=0, **SMALL),
    UniDECClassifier(
        n_positives=1,
        n_negatives=2,
        refresh_every=1,
        group_batches=True,
        loss="supcon",
        symmetric_loss="both",
        learn_temperature=True,
        encoder_weight=0.5,
        popularity=0.1,
        embedding_size=16,
        ridge_alpha=None,
        random_state=0,
        **SMALL | {"max_epochs": 15},
    ),
]
# Other settings, for the contract with users, most of which is slow with them; faults
# are those of the ones above.
VARIANTS = [
    MultiHeadEncodingClassifier(
        "product", n_heads=3, n_shortlist=5, random_state=0, **SMALL
    ),
    MultiHeadEncodingClassifier("full", random_state=0, **SMALL),
    UniDECClassifier(loss="bce", loss_weight=0.0, random_state=0, **SMALL),
    UniDECClassifier(loss="balanced", loss_weight=1.0, random_state=0, **SMALL),
]
SETTINGS = ESTIMATORS + VARIANTS
each_setting = pytest.mark.parametrize(
    "estimator",
    [
        *ESTIMATORS,
        *(pytest.param(variant, marks=pytest.mark.slow) for variant in VARIANTS),
    ],
    ids=[f"{type(e).__name__}{i}" for i, e in enumerate(SETTINGS)],
)
