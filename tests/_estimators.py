"""The estimators that share one contract, in the settings the tests run them with."""

from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier

# Defaults are tuned for tens of thousands of rows; these train on tens of them.
ESTIMATORS = [
    DECLAREClassifier(random_state=0),
    DECLAREClassifier(
        n_components=20,
        ridge_alpha=None,
        hidden_layer_sizes=(32,),
        max_epochs=30,
        batch_size=16,
        lr=0.01,
        dropout=0.1,
        keys="exact",
        similarity="dot",
        sharpening=1,
        n_neighbors=25,
        decoder="neighbors",
        random_state=0,
    ),
    DECLAREClassifier(hidden_layer_sizes=(), decoder="linear", random_state=0),
    MultiHeadEncodingClassifier(max_epochs=20, batch_size=32, random_state=0),
    MultiHeadEncodingClassifier(
        "product",
        n_heads=3,
        n_shortlist=5,
        hidden_layer_sizes=(32, 32),
        max_epochs=30,
        batch_size=16,
        random_state=0,
    ),
    MultiHeadEncodingClassifier(
        "cascade",
        head_sizes=(4, 3, 4),
        n_candidate_groups=4,
        label_order="frequency",
        ridge_alpha=None,
        max_epochs=30,
        batch_size=16,
        random_state=0,
    ),
    MultiHeadEncodingClassifier(
        "sampling",
        label_order="natural",
        n_sampled_groups=2,
        max_epochs=30,
        batch_size=16,
        random_state=0,
    ),
    MultiHeadEncodingClassifier(
        "full", hidden_layer_sizes=(64,), max_epochs=30, batch_size=16, random_state=0
    ),
]
