"""A portal: run `python portal.py SERVER PORT`, open http://127.0.0.1:PORT/?pod=web."""

import sys
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import palomar

TOP = "<!doctype html><title>Flows</title><h1>{}</h1><p>Lost events: {}<table>{}</table><ol>"
ROW = "<tr><td>{}<td>{}<td>{}<td>{}<td>{} flows"


class Portal(BaseHTTPRequestHandler):
    """One page: who talks to whom, then each new flow as it happens, until the browser leaves."""

    def do_GET(self) -> None:  # noqa: D102 - the class says it
        query = dict(parse_qsl(urlsplit(self.path).query))
        try:
            chosen = palomar.Filter(**query)  # type: ignore[arg-type]  # it says what it cannot take
            summary = client.summarize("pod", "verdict", "drop-reason", filters=[chosen])
        except (palomar.PalomarError, TypeError) as error:
            self.send_error(400, explain=str(error))
            return
        rows = ([*map(escape, group.values), group.totals.flows] for group in summary.groups)
        table = "".join(ROW.format(*row) for row in rows)
        lost = sum(loss.events for loss in summary.coverage.losses)
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(TOP.format(escape(str(chosen)), lost, table).encode())
        with client.observe(chosen, last=20, follow=True) as flows:
            for flow in map(palomar.FlowView, flows):
                self.wfile.write(f"<li>{escape(str(flow))}\n".encode())


if __name__ == "__main__":
    client = palomar.Client(sys.argv[1])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Portal).serve_forever()
