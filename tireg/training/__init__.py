"""Learning new rows from pictures: tensors in, events out; nothing is saved here."""
