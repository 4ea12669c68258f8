"""Supervised fine-tuning: rows as token ids, TRL's trainer around them, and what it leaves behind."""
