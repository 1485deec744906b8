"""Documents that are there twice, word for word or nearly, and documents that hold an evaluation item."""
