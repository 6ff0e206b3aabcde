"""What runs answered, sentence by sentence: where two disagree, and which slot types are taken for which."""
