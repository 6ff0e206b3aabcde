"""Trained models at work: on test sets, on texts, on streams, on any tagged corpus."""
