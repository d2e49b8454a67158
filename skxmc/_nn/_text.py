"""A language model as features: the only module that uses transformers."""

from contextlib import contextmanager

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn
from torch.nn import functional as F

# Length of the features, that of hidden units in other encoders.
_NORM = 4.0


class TextFeatures(nn.Module):
    """Pooled last hidden states of a language model, of one length.

    Parameters
    ----------
    name : str
        Folder of a model, or its name on the Hugging Face hub.
    pooling : {"mean", "cls"}
        Mean over the tokens, or the first one.
    mixed_precision : bool
        Whether to compute in bfloat16 where that is safe.
    gradient_checkpointing : bool
        Whether to compute hidden states again for the gradients, to save memory.
    trainable : bool
        Whether the model is trained.
    """

    is_foreign = True

    def __init__(
        self, name, *, pooling, mixed_precision, gradient_checkpointing, trainable
    ):
        super().__init__()
        self.model = _load("AutoModel", name, dtype=torch.float32)
        self.pooling, self.mixed_precision = pooling, mixed_precision
        if gradient_checkpointing:
            # The older name of the two is on its way out.
            enable = getattr(self.model, "activation_checkpointing_enable", None)
            (enable or self.model.gradient_checkpointing_enable)()
        self.model.requires_grad_(trainable)
        self.n_outputs = self.model.config.hidden_size

    def forward(self, x):
        """Map tokens, see `tokenize`, as `SparseRows` to (n_rows, n_outputs)."""
        lengths = x.offsets.diff()
        width = max(1, int(lengths.max())) if len(x) else 1
        ids = x.indices.new_zeros(len(x), width)
        mask = torch.arange(width, device=ids.device) < lengths[:, None]
        ids[mask] = x.values.long() - 1
        mask[:, 0] = True  # a row without tokens has to attend to something
        kind = ids.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self.mixed_precision):
            output = self.model(input_ids=ids, attention_mask=mask.long())
        states = output.last_hidden_state.float()  # (n_rows, width, n_outputs)
        if self.pooling == "cls":
            pooled = states[:, 0]
        else:
            pooled = (states * mask[:, :, None]).sum(1)
        return _NORM * F.normalize(pooled)


def load_tokenizer(name):
    """Load the tokenizer of a model."""
    return _load("AutoTokenizer", name)


def tokenize(texts, tokenizer, max_length):
    """Turn texts into rows of token numbers.

    Parameters
    ----------
    texts : list of str
    tokenizer : transformers tokenizer
    max_length : int
        Tokens that are kept of a text.

    Returns
    -------
    tokens : csr_array of shape (n_texts, max_length), float32
        Token number + 1 at each place, since zeros are not stored.
    """
    encoded = tokenizer(texts, truncation=True, max_length=max_length, padding=False)
    ids = encoded["input_ids"] if texts else []
    lengths = np.array([len(row) for row in ids], dtype=np.int64)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    indices = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)
    data = np.array([token for row in ids for token in row], dtype=np.float32) + 1
    return sp.csr_array((data, indices, indptr), shape=(len(texts), max_length))


def _load(kind, name, **options):
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            f"encoder={name!r} is a language model, which needs transformers; install "
            "skxmc[text]."
        ) from error
    with _no_progress_bars(transformers.utils.logging):
        return getattr(transformers, kind).from_pretrained(name, **options)


@contextmanager
def _no_progress_bars(logging):
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()
