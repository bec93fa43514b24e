"""The body of a request as a record, or an error that names what is wrong with it."""

from __future__ import annotations

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect, Request

from hdbench.schema.record import first_problem, parse_json
from hdbench.web.guard import RequestRefused

Value = TypeVar("Value")


async def read_body(request: Request) -> bytes:
    """Return the whole body of a request.

    Raises:
        RequestRefused: it is larger than the guard allows, or was cut short.
    """
    try:
        return await request.body()
    except ClientDisconnect:
        raise RequestRefused("the request was cut short") from None


async def read_record(request: Request, adapter: TypeAdapter[Value]) -> Value:
    """Return what a request's JSON body holds.

    Raises:
        RequestRefused: it is not JSON, or not what the adapter reads; the first problem is named.
    """
    content = await read_body(request)
    try:
        parse_json(content)
        return adapter.validate_json(content)
    except ValidationError as error:
        raise RequestRefused(f"request: {first_problem(error)}", 422) from None
    except ValueError as error:
        raise RequestRefused(f"request: not readable as JSON ({str(error)[:200]})") from None
