"""The OpenAPI document: every route with every way in which it may be refused, each with an example."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api import problems
from api.problems import MEDIA_TYPE, Problem
from domain.refusal import Refused

_TEMPLATE: Final = "#/components/schemas/{model}"
_ABOUT: Final = """\
An event-sourced ledger of outcomes awards: from an award's terms to a settled payment.

Amounts and quantities are strings. Every command needs an `Idempotency-Key`; `?dry_run=true` tells what it would record.
Refusals are RFC 9457 problems. What can be read, can be read `as_of` a position or time; states also as they were in effect
on a day (`effective_on`), and by both together.
"""


_SENT: Final[dict[str, type[BaseModel]]] = {}
_MARK: Final = "x-sent"
_RETRY_AFTER: Final = {"schema": {"type": "integer"}, "required": True, "description": "Seconds after which to try again"}


def sent_as(model: type[BaseModel]) -> dict[str, Any]:
    """Stands for the schema of a body that the route reads itself, until the document is made."""
    name = f"{model.__module__}.{model.__name__}"
    _SENT[name] = model
    return {_MARK: name}


def refused_with(*refusals: type[Refused]) -> dict[int | str, dict[str, Any]]:
    """The responses that say no, by status, with an example of each."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for refusal in dict.fromkeys(refusals):
        status = problems.status_of(refusal)
        response = by_status.setdefault(
            status,
            {
                "description": "Refused",
                "content": {MEDIA_TYPE: {"schema": {"$ref": _TEMPLATE.format(model="Problem")}, "examples": {}}},
            },
        )
        if issubclass(refusal, problems.TurnedAway) and "Retry-After" in refusal.headers:
            response["headers"] = {"Retry-After": _RETRY_AFTER}
        response["content"][MEDIA_TYPE]["examples"][refusal.slug()] = _example(refusal)
        response["description"] = " · ".join(each["summary"] for each in response["content"][MEDIA_TYPE]["examples"].values())
    return by_status


def _example(refusal: type[Refused]) -> dict[str, Any]:
    title = problems.title_of(refusal)
    value = {"type": problems.type_of(refusal), "title": title, "status": problems.status_of(refusal), "detail": title}
    return {"summary": title, "value": {**value, "faults": [], "details": {}}}


def install(app: FastAPI, always: Mapping[int | str, dict[str, Any]]) -> None:
    """Have the application describe itself, once; `always` are the responses of every route that needs a key."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app, always)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign] # FastAPI's own way


def _described(app: FastAPI, always: Mapping[int | str, dict[str, Any]]) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=_ABOUT, routes=app.routes)
    sent: set[type[BaseModel]] = {Problem, *_SENT.values()}
    names, schemas = models_json_schema(
        [(model, "validation") for model in sorted(sent, key=lambda model: model.__name__)], ref_template=_TEMPLATE
    )
    components = document.setdefault("components", {}).setdefault("schemas", {})
    components.update({name: schema for name, schema in schemas.get("$defs", {}).items() if name not in components})
    components.pop("HTTPValidationError", None)
    components.pop("ValidationError", None)
    for content in _contents(document):
        if _MARK in content["schema"]:
            content["schema"] = names[_SENT[content["schema"][_MARK]], "validation"]
    for operation in _operations(document):
        if operation.get("security"):
            _add(operation["responses"], always)
        told = operation.get("responses", {}).get("422", {})
        if "HTTPValidationError" in str(told.get("content", {}).get("application/json", "")):
            del told["content"]["application/json"]
    return document


def _add(responses: dict[str, Any], more: Mapping[int | str, dict[str, Any]]) -> None:
    for status, response in more.items():
        found = responses.get(str(status))
        if found is None:
            responses[str(status)] = copy.deepcopy(response)
            continue
        examples = found["content"][MEDIA_TYPE]["examples"]
        examples.update(response["content"][MEDIA_TYPE]["examples"])
        found["description"] = " · ".join(each["summary"] for each in examples.values())


def _operations(document: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def _contents(document: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for operation in _operations(document):
        yield from operation.get("requestBody", {}).get("content", {}).values()
