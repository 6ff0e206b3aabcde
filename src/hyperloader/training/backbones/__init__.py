"""Backbones in the making: downloaded, linked, or pre-trained here."""
