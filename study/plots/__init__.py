"""One file per figure: a saved result in, a plotly figure out. No model, no statistics."""
