"""Settings of a language model that encodes rows and labels."""

from sklearn.base import BaseEstimator

from skxmc import _nn
from skxmc._doc_links import DocLinkMixin


class TextEncoder(DocLinkMixin, BaseEstimator):
    """A language model as the encoder of `UniDECClassifier`.

    X and label features are then lists of texts. It needs transformers:
    ``pip install "skxmc[text]"``.

    Parameters
    ----------
    name : str
        Folder of a model, or its name on the Hugging Face hub.
    pooling : {"mean", "cls"}, default="mean"
        Whether a text is the mean of its tokens' states or the state of the first.
    max_length : int, default=64
        Tokens that are kept of a text.
    lr : float, default=0.00005
        Highest learning rate of the model; 0 leaves it as it is. The heads on it and
        the classifier take that of the estimator.
    mixed_precision : bool, default=False
        Whether to compute in bfloat16 where that is safe.
    gradient_checkpointing : bool, default=False
        Whether to compute hidden states again for the gradients: less memory, more
        time.

    Examples
    --------
    >>> from skxmc import TextEncoder, UniDECClassifier
    >>> encoder = TextEncoder("path/to/model", max_length=32)
    >>> clf = UniDECClassifier(["name of a label", "another"], encoder=encoder)
    >>> clf.get_params()["encoder__max_length"]
    32
    """

    def __init__(
        self,
        name,
        *,
        pooling="mean",
        max_length=64,
        lr=5e-5,
        mixed_precision=False,
        gradient_checkpointing=False,
    ):
        self.name = name
        self.pooling = pooling
        self.max_length = max_length
        self.lr = lr
        self.mixed_precision = mixed_precision
        self.gradient_checkpointing = gradient_checkpointing


def text_encoder_of(encoder):
    """Return the `TextEncoder` that the parameter `encoder` names, or None."""
    if isinstance(encoder, str):
        return TextEncoder(encoder)
    return encoder if isinstance(encoder, TextEncoder) else None


def load_features(encoder):
    """Load the language model of a `TextEncoder` as features of tokens."""
    if encoder.pooling not in ("mean", "cls"):
        raise ValueError(
            f"pooling={encoder.pooling!r} is not supported; use 'mean' or 'cls'."
        )
    return _nn.TextFeatures(
        encoder.name,
        pooling=encoder.pooling,
        mixed_precision=encoder.mixed_precision,
        gradient_checkpointing=encoder.gradient_checkpointing,
        trainable=encoder.lr > 0,
    )


def load_tokenizer(encoder):
    """Load the tokenizer of a `TextEncoder`."""
    return _nn.load_tokenizer(encoder.name)


def read_texts(encoder, tokenizer, texts, what):
    """Turn texts into tokens for a `TextEncoder`.

    Parameters
    ----------
    encoder : TextEncoder
    tokenizer : transformers tokenizer
    texts : iterable of str
    what : str
        Name of the texts in errors.

    Returns
    -------
    tokens : csr_array of shape (n_texts, max_length), float32
        See `tokenize`.

    Raises
    ------
    TypeError
        If `texts` is a single text, or holds anything else.
    """
    if isinstance(texts, str):
        raise TypeError(f"{what} is a single text; pass a list of texts.")
    texts = list(texts)
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong:
        raise TypeError(
            f"{what} holds {wrong[0]!r} of type {type(wrong[0]).__name__}, but "
            f"encoder={encoder.name!r} reads texts; pass a list of str."
        )
    return _nn.tokenize(texts, tokenizer, encoder.max_length)


def token_names(tokenizer, tokens):
    """Return the tokens of a text that `read_texts` has read, as words."""
    # Numbers are stored plus one, see `tokenize`.
    return tokenizer.convert_ids_to_tokens((tokens.data.astype(int) - 1).tolist())
