"""A service that does nothing but start, answer and end as told; run as a script by the tests of the stack."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--starts", type=Path, required=True)
    parser.add_argument("--port", type=int)
    parser.add_argument("--exit-code", type=int, help="end at once with this code")
    parser.add_argument("--deaf", action="store_true", help="ignore SIGTERM")
    parser.add_argument("--child", type=Path, help="start a child in its own session and write its pid here")
    options = parser.parse_args()
    with options.starts.open("a") as stream:
        stream.write(f"{options.name}\n")
    print(f"{options.name} speaks", flush=True)
    if options.exit_code is not None:
        print(f"{options.name} gives up", flush=True)
        return int(options.exit_code)
    if options.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.child:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        options.child.write_text(str(child.pid))
    if options.name == "prepare":
        return 0
    if options.port is None:
        time.sleep(600)
        return 0
    HTTPServer(("127.0.0.1", options.port), _Handler).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
