"""Sizes in bytes, as people write them."""

import re

_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class ByteSize(int):
    """A number of bytes; in YAML a number and B, KiB, MiB or GiB: `256 MiB`."""

    @classmethod
    def parse(cls, text: object) -> "ByteSize":
        """Read a size.

        >>> ByteSize.parse("256 MiB")
        ByteSize(268435456)

        Raises:
            ValueError: if it is not one.
        """
        match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?(B|KiB|MiB|GiB)", str(text))
        if isinstance(text, str) and match:
            return cls(int(float(match[1]) * _UNITS[match[2]]))
        raise ValueError(f'expected a size such as "256 MiB", got {text!r}')

    def __repr__(self) -> str:
        return f"ByteSize({int(self)})"
