"""The columns of the manifest, which stores of all versions share, are those of `Facts`."""

from __future__ import annotations

import pyarrow as pa

from mammogan.data.manifest import SCHEMA, Facts


def test_the_schema_follows_the_facts() -> None:
    assert SCHEMA.names == list(Facts.__annotations__)
    assert SCHEMA.field("number").type == pa.int64()
    assert SCHEMA.field("index").type == pa.int64()
    assert SCHEMA.field("flags").type == pa.list_(pa.string())
    assert SCHEMA.field("spacing_mm").type == pa.float64()
    assert SCHEMA.field("mirrored").type == pa.bool_()
