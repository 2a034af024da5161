"""Programs a person runs, and the machinery they share: presets, figures, reports."""
