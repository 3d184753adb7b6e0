"""The field names of the Open Data Contract Standard, v3.0 and v3.1, level by level.

Source: ``odcs-json-schema-v3.1.0.json`` of bitol-io/open-data-contract-standard, which is a
superset of v3.0.x but for ``team``, a list there and a mapping since v3.1. The tables are data:
``shape`` walks them. What the fields mean here is in ``columns``, ``custom``, ``owners``, ``load``.
"""

from mcai_pipelines.contracts.shape import (
    ANYTHING,
    FLAG,
    MAPPING,
    NUMBER,
    SINGLE,
    TEXT,
    WHOLE,
    Either,
    Keys,
    ListOf,
    Shape,
    Word,
)


def _text(names: str) -> dict[str, Shape]:
    """Keys that hold text."""
    return dict.fromkeys(names.split(), TEXT)


def _word(choices: str) -> Word:
    """One of some words."""
    return Word(tuple(choices.split()))


_TEXTS = ListOf(TEXT)

_CUSTOM_PROPERTIES = ListOf(
    Keys(
        "a custom property",
        {**_text("id property description"), "value": ANYTHING},
        ("property", "value"),
    )
)

_DEFINITIONS = ListOf(
    Keys("an authoritative definition", _text("id url type description"), ("url", "type"))
)

_NOTES: dict[str, Shape] = {
    "authoritativeDefinitions": _DEFINITIONS,
    "customProperties": _CUSTOM_PROPERTIES,
}

_DIMENSIONS = _word("accuracy completeness conformity consistency coverage timeliness uniqueness")

_QUALITY = ListOf(
    Keys(
        "a quality rule",
        {
            **_text("id name description severity businessImpact method unit schedule scheduler"),
            **_text("metric rule query engine"),
            **_NOTES,
            "type": _word("text library sql custom"),
            "dimension": _DIMENSIONS,
            "tags": _TEXTS,
            "arguments": MAPPING,
            "implementation": ANYTHING,
            "mustBe": ANYTHING,
            "mustNotBe": ANYTHING,
            "mustBeGreaterThan": NUMBER,
            "mustBeGreaterOrEqualTo": NUMBER,
            "mustBeLessThan": NUMBER,
            "mustBeLessOrEqualTo": NUMBER,
            "mustBeBetween": ListOf(NUMBER),
            "mustNotBeBetween": ListOf(NUMBER),
        },
    )
)

_REFERENCE = Either(_TEXTS, TEXT)

_RELATIONSHIPS = ListOf(
    Keys(
        "a relationship",
        {
            "type": _word("foreignKey"),
            "from": _REFERENCE,
            "to": _REFERENCE,
            "customProperties": _CUSTOM_PROPERTIES,
        },
        ("to",),
    )
)

_ELEMENT: dict[str, Shape] = {
    **_text("id name physicalName physicalType description businessName"),
    **_NOTES,
    "tags": _TEXTS,
    "quality": _QUALITY,
    "relationships": _RELATIONSHIPS,
}

_LOGICAL_TYPES = _word("string integer number boolean date timestamp time object array")

_PROPERTY_FIELDS: dict[str, Shape] = {
    **_ELEMENT,
    **_text("classification encryptedName transformLogic transformDescription"),
    "logicalType": _LOGICAL_TYPES,
    "logicalTypeOptions": MAPPING,
    "primaryKey": FLAG,
    "primaryKeyPosition": WHOLE,
    "required": FLAG,
    "unique": FLAG,
    "partitioned": FLAG,
    "partitionKeyPosition": WHOLE,
    "transformSourceObjects": _TEXTS,
    "examples": ListOf(ANYTHING),
    "criticalDataElement": FLAG,
}
_PROPERTY = Keys("a column", _PROPERTY_FIELDS, ("name",))
_PROPERTY_FIELDS["properties"] = ListOf(_PROPERTY)
_PROPERTY_FIELDS["items"] = Keys("the items of an array", _PROPERTY_FIELDS)

_TABLE = Keys(
    "a schema object",
    {
        **_ELEMENT,
        "logicalType": _word("object"),
        "dataGranularityDescription": TEXT,
        "properties": ListOf(_PROPERTY),
    },
    ("name",),
)

_ROLES = ListOf(
    Keys(
        "a role",
        {
            **_text("id role description access firstLevelApprovers secondLevelApprovers"),
            "customProperties": _CUSTOM_PROPERTIES,
        },
        ("role",),
    )
)

_SERVERS = ListOf(
    Keys(
        "a server",
        {
            **_text("id server type description environment"),
            "roles": _ROLES,
            "customProperties": _CUSTOM_PROPERTIES,
            # The address fields of all server types; which type takes which is not checked.
            **_text("account catalog database dataset delimiter endpointUrl format host location"),
            **_text(
                "path project region regionName schema serviceName stagingDir stream warehouse"
            ),
            "port": SINGLE,
        },
        ("server", "type"),
    )
)

_MEMBERS = ListOf(
    Keys(
        "a team member",
        {
            **_text("id username name description role dateIn dateOut replacedByUsername"),
            **_NOTES,
            "tags": _TEXTS,
        },
        ("username",),
    )
)

_TEAM = Keys(
    "the team",
    {**_text("id name description"), **_NOTES, "members": _MEMBERS, "tags": _TEXTS},
)

_SUPPORT = ListOf(
    Keys(
        "a support channel",
        {
            **_text("id channel url description tool scope invitationUrl"),
            "customProperties": _CUSTOM_PROPERTIES,
        },
        ("channel",),
    )
)

_SERVICE_LEVELS = ListOf(
    Keys(
        "a service level",
        {
            **_text("id property unit element driver description schedule scheduler"),
            "value": SINGLE,
            "valueExt": SINGLE,
        },
        ("property", "value"),
    )
)

CONTRACT = Keys(
    "the contract",
    {
        **_text("apiVersion id version status name tenant domain dataProduct"),
        **_text("slaDefaultElement contractCreatedTs"),
        **_NOTES,
        "kind": _word("DataContract"),
        "description": Keys("the description", {**_text("purpose usage limitations"), **_NOTES}),
        "tags": _TEXTS,
        "schema": ListOf(_TABLE),
        "team": Either(_MEMBERS, _TEAM),
        "roles": _ROLES,
        "servers": _SERVERS,
        "support": _SUPPORT,
        "price": Keys("the price", {**_text("id priceCurrency priceUnit"), "priceAmount": NUMBER}),
        "slaProperties": _SERVICE_LEVELS,
    },
    ("apiVersion", "kind", "id", "version", "status", "schema"),
)

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_MOMENT: dict[str, Shape] = {"format": TEXT, **dict.fromkeys(_BOUNDS, TEXT)}
_ZONED: dict[str, Shape] = {**_MOMENT, "timezone": FLAG, "defaultTimezone": TEXT}
_NUMERIC: dict[str, Shape] = {"multipleOf": NUMBER, **dict.fromkeys(_BOUNDS, NUMBER)}
_INTEGERS = _word("i8 i16 i32 i64 i128 u8 u16 u32 u64 u128")

_OPTION_FIELDS: dict[str, dict[str, Shape]] = {
    "string": {"minLength": WHOLE, "maxLength": WHOLE, "pattern": TEXT, "format": TEXT},
    "integer": {**_NUMERIC, "format": _INTEGERS},
    "number": {**_NUMERIC, "format": _word("f32 f64")},
    "boolean": {},
    "date": _MOMENT,
    "timestamp": _ZONED,
    "time": _ZONED,
    "object": {"minProperties": WHOLE, "maxProperties": WHOLE, "required": _TEXTS},
    "array": {"minItems": WHOLE, "maxItems": WHOLE, "uniqueItems": FLAG},
}

OPTIONS = {
    logical: Keys(f"the options of the logicalType {logical}", fields)
    for logical, fields in _OPTION_FIELDS.items()
}
"""The keys of ``logicalTypeOptions`` for each logical type."""
