"""From domains to verdicts: designs, statistics, controls, and the transfer evaluation."""
