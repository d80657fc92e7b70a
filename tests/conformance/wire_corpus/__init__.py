"""The wire corpus: HTTP/1.1 as data. Each module holds the rows of one topic; ``CASES`` is all of them."""

from __future__ import annotations

from . import (
    chunked,
    connection,
    content_length,
    end_of_input,
    expect,
    fields,
    host,
    lessons,
    limits,
    methods,
    pipelining,
    request_line,
    target,
    trailers,
    transfer_encoding,
)
from .case import Case

TOPICS = (
    methods,
    request_line,
    target,
    fields,
    host,
    content_length,
    transfer_encoding,
    chunked,
    trailers,
    connection,
    expect,
    limits,
    pipelining,
    end_of_input,
    lessons,
)

CASES: list[Case] = [case for topic in TOPICS for case in topic.CASES]
