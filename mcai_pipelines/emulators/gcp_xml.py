"""Answers in the words of Google Cloud Storage's XML API, made of those of its JSON API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from aiohttp import ClientResponse, web

_NAMESPACE = "http://doc.s3.amazonaws.com/2006-03-01"
_OF_A_BUCKET = re.compile(r"/b/[^/]+/o$")
"""Paths of the JSON API that are not found only where the bucket is not."""
_CODES = {404: "NoSuchKey", 412: "PreconditionFailed", 403: "AccessDenied"}


def created(
    stored: Mapping[str, Any], name: str | None = None, values: Mapping[str, Any] | None = None
) -> web.Response:
    """An object was stored; without a name, only the headers say so."""
    headers = {"ETag": _etag(stored), "x-goog-generation": str(stored["generation"])}
    if name is None:
        return web.Response(headers=headers)
    return reply(name, {**(values or {}), "ETag": _etag(stored)}, headers)


def reply(
    name: str, values: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> web.Response:
    """A document with one value per element."""
    root = ElementTree.Element(name, xmlns=_NAMESPACE)
    _add(root, values)
    return _document(root, headers=headers)


def listing(query: Mapping[str, str], bucket: str, found: Mapping[str, Any]) -> web.Response:
    """One page of a list of objects.

    Args:
        query: What was asked for.
        bucket: Where.
        found: The JSON API's page.
    """
    after = query.get("start-after")  # exclusive here, inclusive there
    items = [item for item in found.get("items", ()) if item["name"] != after]
    root, token = ElementTree.Element("ListBucketResult", xmlns=_NAMESPACE), "nextPageToken"
    _add(root, {"Name": bucket, "Prefix": query.get("prefix", ""), "KeyCount": len(items)})
    _add(root, {"IsTruncated": "true" if token in found else "false"})
    if token in found:
        _add(root, {"NextContinuationToken": found[token]})
    for item in items:
        entry = {"Key": item["name"], "Generation": item["generation"], "Size": item["size"]}
        entry |= {"LastModified": item["updated"], "ETag": _etag(item)}
        _add(ElementTree.SubElement(root, "Contents"), entry)
    for prefix in found.get("prefixes", ()):
        _add(ElementTree.SubElement(root, "CommonPrefixes"), {"Prefix": prefix})
    return _document(root)


def problem(status: int, code: str, message: str) -> web.Response:
    """An error with its code."""
    root = ElementTree.Element("Error")
    _add(root, {"Code": code, "Message": message})
    return _document(root, status)


async def problem_of(answer: ClientResponse) -> web.Response:
    """What the JSON API's error is in this one."""
    text = (await answer.text()).strip()
    code = _CODES.get(answer.status, "InternalError")
    if answer.status == 404 and _OF_A_BUCKET.search(answer.url.raw_path):
        code = "NoSuchBucket"
    return problem(answer.status, code, text[:500])


def part_numbers(body: bytes) -> list[int]:
    """The parts that a request to complete an upload names, in its order."""
    root = ElementTree.fromstring(body)
    return [int(part.text or 0) for part in root.iter() if part.tag.endswith("PartNumber")]


def _etag(stored: Mapping[str, Any]) -> str:
    """The entity tag that the server gives the object when it is read."""
    return f'"{str(stored.get("etag", "")).strip(chr(34))}"'


def _add(element: ElementTree.Element, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        ElementTree.SubElement(element, name).text = str(value)


def _document(
    root: ElementTree.Element, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    body = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return web.Response(body=body, status=status, headers=headers, content_type="application/xml")
