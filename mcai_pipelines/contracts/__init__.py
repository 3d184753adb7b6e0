"""Contracts: the Open Data Contract Standard (v3.0, v3.1) as typed tables and columns."""

from mcai_pipelines.contracts.load import ContractStore, load_contract
from mcai_pipelines.contracts.model import Column, Contract, External, Retention
from mcai_pipelines.contracts.types import (
    Decimal,
    ListType,
    Primitive,
    StructField,
    StructType,
    Type,
    unsupported,
)

__all__ = [
    "Column",
    "Contract",
    "ContractStore",
    "Decimal",
    "External",
    "ListType",
    "Primitive",
    "Retention",
    "StructField",
    "StructType",
    "Type",
    "load_contract",
    "unsupported",
]
