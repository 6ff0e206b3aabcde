"""Methods: what each trains and how it predicts, and which there are."""
