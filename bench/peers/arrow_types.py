"""The columns' Arrow types, for the peers that read with them."""

import pyarrow as pa

from schemas import LINEITEM

TYPES = {
    "TINYINT": pa.int8(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "VARCHAR": pa.string(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "DECIMAL(15,2)": pa.decimal128(15, 2),
}
LINEITEM_SCHEMA = pa.schema([(column.name, TYPES[column.sql_type]) for column in LINEITEM])
