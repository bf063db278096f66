"""Flows from a server or a file to the output, and beside them what people should know.

In: the responses of one request. Out: their text on standard output; on standard error node states,
interruptions, progress, why nothing matched, and at the end the sum of what was lost. With
`--strict-hubble` only what `hubble` says. Used by `observation`.
"""

import os
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from palomar.printers.escape import visible
from palomar.printers.notices import is_trouble
from palomar_proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from palomar_proto.relay.relay_pb2 import NodeStatusEvent

if TYPE_CHECKING:
    from palomar.client import Client
    from palomar.commands.invocation import Invocation
    from palomar.gap import Gap
    from palomar.loss_report import LossReport
    from palomar.output import Output
    from palomar.printers import Printer
    from palomar.progress import Remarks
    from palomar.reconnection import Outage

_SILENCE_S = 2.0
"""Who follows and has seen no flow for so long is told if none can come."""

_TABLES = frozenset({"table", "tab", "wide"})
"""Formats that show nothing before the end."""


def _goes_to_file() -> bool:
    """Tell whether nobody sees the flows as they come; behind a pipe there may be a pager."""
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):  # a stream of Python's own
        return False


class FlowRun:
    """One stream of flows on its way to the output.

    Args:
        request: What is asked for.
        printer: Makes text of responses.
        output: Where flows and losses go.
        remarks: Where the rest goes.
        options: Values of the flags by parameter name.
        invocation: What holds for the whole run.
    """

    def __init__(
        self,
        request: GetFlowsRequest,
        printer: "Printer",
        output: "Output",
        remarks: "Remarks",
        *,
        options: Mapping[str, Any],
        invocation: "Invocation",
    ) -> None:
        self._request = request
        self._printer = printer
        self._output = output
        self._remarks = remarks
        self._silent = options.get("silent_errors", False)
        self._explain = options.get("explain", False)
        self._tabular = options["output"] in _TABLES
        self._strict = invocation.strict
        self._all_states = invocation.debug
        self._verbose = invocation.verbose
        self._losses: LossReport | None = None

    def read_file(self, path: str) -> None:
        """Print what a file has of what was asked for.

        Args:
            path: The file; `-` is standard input.

        Raises:
            PalomarError: The file cannot be read, or a filter is wrong.
        """
        from palomar.input_file import read_responses  # noqa: PLC0415 - is rare

        name = "standard input" if path == "-" else visible(path)
        responses = read_responses(
            path,
            self._request,
            strict=self._strict,
            warn=lambda text: self._say([f"{name}: {visible(text)}"]),
        )
        with self._summed_up():
            self._print(responses, self._printer.flow)

    def ask(self, client: "Client") -> None:
        """Print what a server sends, until it or the user ends the stream.

        Raises:
            PalomarError: See `palomar.errors`; what had arrived is printed.
        """
        show = self._with_causes(client) if self._explain else self._printer.flow
        stream = client.stream(
            self._request,
            on_reconnect=self._tell_outage,
            on_gap=self._tell_gap,
        )
        with self._summed_up(), stream:
            responses = stream.responses()
            with self._heeding_silence(client):
                first = next(responses, None)
                self._compare_versions(client)
                if first is not None:
                    self._print(chain((first,), responses), show)
            if not self._remarks.flows and self._advises:
                self._suggest(client)

    def _print(
        self, responses: Iterable[GetFlowsResponse], show: Callable[[GetFlowsResponse], str]
    ) -> None:
        """The loop that a client's time is spent in."""
        remarks, write = self._remarks, self._output.write
        shown = not (self._tabular or _goes_to_file())
        for response in responses:
            if response.HasField("flow"):
                if shown:
                    remarks.stop()
                    shown = False
                remarks.flows += 1
                write(show(response))
            else:
                self._notice(response)

    def _notice(self, response: GetFlowsResponse) -> None:
        """Print what is not a flow: losses among the flows, node states beside them."""
        if response.HasField("lost_events"):
            self._output.write(self._printer.loss(response))
            self._count_loss(response)
        elif response.HasField("node_status") and self._tells(response.node_status):
            self._remarks.write(self._printer.node_status(response))

    def _tells(self, status: NodeStatusEvent) -> bool:
        return not self._silent and (self._all_states or is_trouble(status))

    def _tell_outage(self, outage: "Outage") -> None:
        if self._advises:
            self._say([visible(str(outage))])

    def _tell_gap(self, gap: "Gap") -> None:
        if self._advises and (gap.may_miss_flows or self._verbose):
            self._say([visible(str(gap))])

    def _count_loss(self, response: GetFlowsResponse) -> None:
        if self._losses is None:
            from palomar.loss_report import LossReport  # noqa: PLC0415 - losses are rare

            self._losses = LossReport()
        self._losses.add(response.lost_events, response.node_name)

    @property
    def _advises(self) -> bool:
        return not (self._strict or self._silent)

    @contextmanager
    def _summed_up(self) -> Iterator[None]:
        """Print at the end what was held back, however it ends, and say what was lost."""
        try:
            try:
                yield
            finally:
                self._remarks.stop()
                self._output.write(self._printer.end())
                self._output.flush()
        except OSError:
            raise  # whoever read along went away, so nobody wants a sum
        except BaseException:
            self._sum_losses()
            raise
        else:
            self._sum_losses()

    def _sum_losses(self) -> None:
        if self._losses is not None and self._advises:
            self._say(self._losses.lines())

    def _say(self, lines: Iterable[str]) -> None:
        """Write lines of ours, the first one marked as such."""
        text = "\n".join(lines)
        if text:
            self._remarks.write(f"palomar: {text}\n")

    def _with_causes(self, client: "Client") -> Callable[[GetFlowsResponse], str]:
        from palomar.drop_causes import DropCauses  # noqa: PLC0415 - only with --explain

        causes = DropCauses(client, lambda why: self._say([visible(why)]))
        show = self._printer.flow
        return lambda response: show(response) + causes.lines(response)

    def _suggest(self, client: "Client") -> None:
        from palomar.suggestions import suggestions  # noqa: PLC0415 - only if nothing matched

        for line in suggestions(client, self._request):
            self._say([line])

    @contextmanager
    def _heeding_silence(self, client: "Client") -> Iterator[None]:
        """While following: after a moment without any flow, say so if none can come."""
        if not (self._request.follow and self._advises and self._request.whitelist):
            yield
            return
        over = threading.Event()

        def look() -> None:
            # Closing the client ends a question that is under way.
            with suppress(ValueError):
                if not over.wait(_SILENCE_S) and not self._remarks.flows:
                    self._suggest(client)

        threading.Thread(target=look, name="silence", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _compare_versions(self, client: "Client") -> None:
        """Warn of a server that knows more than this client; with the first answer it says so."""
        if client.server_version is None or (self._silent and not self._strict):
            return
        from palomar.version_check import version_warnings  # noqa: PLC0415 - keeps start-up short

        for line in version_warnings(client.server_version):
            self._remarks.write(f"{line}\n")
