"""Sentences as text and as ids: SentT', the vocabularies of T5 and BERT, padded batches."""
