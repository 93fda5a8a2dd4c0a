"""Operations with derivatives of their own."""

from typing import Any, TypeAlias

# The first argument of an autograd function: an object on which any attribute may be set.
Context: TypeAlias = Any
