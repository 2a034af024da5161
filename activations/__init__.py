"""What the model computed: load models, cache their activations, read them back."""

from activations.adapters import AdapterMismatchError
from activations.compute import NonFiniteError
from activations.diagnosis import diagnose
from activations.extract import extract
from activations.generating import Capture
from activations.integrity import ParityError
from activations.likelihood import ResponseLikelihood, response_likelihood
from activations.models import LoadedModel, load_model
from activations.selection import TokenSelection
from activations.sites import SiteError
from activations.store import ActivationStore, StoreCorruptError
from activations.tokens import EncodedRow, RowError
from activations.weights import WeightsError
from activations.writer import StoreWriteError

__all__ = [
    "ActivationStore",
    "AdapterMismatchError",
    "Capture",
    "EncodedRow",
    "LoadedModel",
    "NonFiniteError",
    "ParityError",
    "ResponseLikelihood",
    "RowError",
    "SiteError",
    "StoreCorruptError",
    "StoreWriteError",
    "TokenSelection",
    "WeightsError",
    "diagnose",
    "extract",
    "load_model",
    "response_likelihood",
]
