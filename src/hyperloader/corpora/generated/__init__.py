"""The seven corpora of the demo, generated in the raw formats of the real ones."""
