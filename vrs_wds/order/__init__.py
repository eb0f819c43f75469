"""The order of samples and how it is shared out. Pure: numbers in, numbers out."""
