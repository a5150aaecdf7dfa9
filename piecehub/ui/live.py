"""What a page that watches a run is told while it goes on: that there is something new, as server-sent events.

An event's data is the mark of the page (run_pages.py); a page that has another one is out of date, and asks again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

_LOOK_S = 1.0
# A comment now and then tells proxies, and us, whether anybody still listens.
_SILENT_S = 15.0
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def watched(request: Request, mark: Callable[[], str], has_ended: Callable[[], bool]) -> Response:
    """The answer to who watches a run: its mark whenever that changes, until it has ended.

    A run that has ended is answered with 204, upon which browsers ask no more.

    Args:
        request: whose.
        mark: what the page's mark is now.
        has_ended: whether the run has.
    """
    if has_ended():
        return Response(status_code=204, headers=_HEADERS)
    if request.method == "HEAD":
        return Response(media_type="text/event-stream", headers=_HEADERS)
    stream = _marks(request, mark, has_ended)
    return StreamingResponse(stream, media_type="text/event-stream", headers=_HEADERS)


async def _marks(request: Request, mark: Callable[[], str], has_ended: Callable[[], bool]) -> AsyncIterator[str]:
    is_ending: Callable[[], bool] = getattr(request.app.state, "is_ending", lambda: False)
    said, silent_s = "", 0.0
    yield "retry: 2000\n\n"
    while not is_ending():
        now = await asyncio.to_thread(mark)
        if now != said:
            yield f"data: {now}\n\n"
            said, silent_s = now, 0.0
            if await asyncio.to_thread(has_ended):
                return
        elif silent_s >= _SILENT_S:
            yield ": still here\n\n"
            silent_s = 0.0
        await asyncio.sleep(_LOOK_S)
        silent_s += _LOOK_S
