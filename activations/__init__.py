"""What the model computed: load models, cache their activations, read them back."""

from activations.models import AdapterMismatchError, LoadedModel, load_model
from activations.weights import WeightsError

__all__ = ["AdapterMismatchError", "LoadedModel", "WeightsError", "load_model"]
