"""Several pictures and PDFs of one page: in which order they are captured, and whose error it was.

A request without `outputs` has one capture and passes through here unchanged.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace

from poster_service.browser.types import WHITE, CaptureOptions
from poster_service.buffers import Share
from poster_service.errors import CallerError, Fault, PageFailed
from poster_service.render.job import RenderJob
from poster_service.render.options import RenderOptions


async def capture_all(
    job: RenderJob, capture: Callable[[CaptureOptions], Awaitable[bytes]], share: Share
) -> list[bytes]:
    """The bytes of every picture and PDF of a page that has been painted, in the order asked for.

    Nothing is delivered of a page of which something cannot be captured. What Chrome gives in the
    same way for several outputs, such as a PNG that is also encoded as AVIF, is captured once.

    Args:
        job: What to capture.
        capture: Captures one.
        share: The memory of all; what is captured is counted in it already while it comes.

    Raises:
        CallerError: There is no such part of the page, or it is too large; the output is named.
        RenderFailed: The page or its Chrome failed.
    """
    bodies: dict[CaptureOptions, bytes] = {}
    for place in capture_order(job.captures):
        wanted = job.captures[place]
        if frame_of(wanted) in bodies:
            continue
        with naming_output(job.options, place):
            bodies[frame_of(wanted)] = await capture(wanted)
        share.set(sum(map(len, bodies.values())))
    return [bodies[frame_of(one)] for one in job.captures]


def frame_of(capture: CaptureOptions) -> CaptureOptions:
    """The same for all captures that give the same bytes: without what has no effect on them.

    The limits of a part whose size the page decides do have one: the capture may be refused.
    """
    if capture.format != "png":
        return capture
    if capture.is_viewport:
        return replace(capture, quality=None, max_pixels=0, max_side=None)
    return replace(capture, quality=None)


def capture_order(captures: Sequence[CaptureOptions]) -> list[int]:
    """The places of captures, in the order in which none of them changes a later one.

    Pictures come first, since print has a layout of its own, and of these the viewport, whose size
    is known: so one that turns out to be too large is the one at fault. Of PDFs that which becomes
    one sheet is the last, because the page is changed for it, and before it those whose white
    background is added to the page.
    """

    def rank(place: int) -> tuple[bool, bool, bool]:
        one = captures[place]
        is_pdf = one.format == "pdf"
        paints_white = one.background == WHITE and one.pdf.print_background
        return is_pdf, not one.is_viewport, is_pdf and paints_white

    return sorted(range(len(captures)), key=rank)


@contextlib.contextmanager
def naming_output(options: RenderOptions, place: int) -> Iterator[None]:
    """While inside, an error names the output that it is of, if the request has several."""
    try:
        yield
    except CallerError as error:
        if options.outputs is None:
            raise
        faults = [_of_output(place, one) for one in error.faults or (Fault("", str(error)),)]
        raise type(error).of(*faults) from error
    except PageFailed as error:
        if options.outputs is None:
            raise
        raise PageFailed(f"outputs.{place}: {error}") from error


def _of_output(place: int, fault: Fault) -> Fault:
    field = f"outputs.{place}" + (f".{fault.field}" if fault.field else "")
    return Fault(field, fault.message, fault.allowed)
