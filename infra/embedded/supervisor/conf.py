"""The configuration of supervisord: programs by name only, so that no path or secret needs quoting in it."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from infra.embedded.services import Service
from infra.embedded.state import StateFolder, socket_folder, write_atomically

CONF_NAME = "supervisord.conf"
# A start that ends within `startsecs` has failed, and the next one waits one second longer than the one before.
START_RETRIES = 60
_LOG_BYTES = "10MB"
_LOG_BACKUPS = 3


def socket_path(state: StateFolder) -> Path:
    """The Unix socket of the supervisor, in a private folder with a short path."""
    return socket_folder(state.path / "run") / "supervisor.sock"


def write_conf(state: StateFolder, services: tuple[Service, ...]) -> Path:
    """Write the configuration for these services and return its path; nothing starts by itself."""
    conf = state.path / CONF_NAME
    write_atomically(conf, render_conf(state, services))
    return conf


def render_conf(state: StateFolder, services: tuple[Service, ...]) -> str:
    """The text of the configuration; relative paths start at the state folder, where supervisord is started.

    Supervisord expands percent signs in paths twice, so the folder's own name may not stand here.
    """
    socket = socket_path(state)
    if socket.is_relative_to(state.path):
        socket = socket.relative_to(state.path)
    head = [
        "[supervisord]",
        "identifier=ballast",
        "logfile=logs/supervisord.log",
        f"logfile_maxbytes={_LOG_BYTES}",
        f"logfile_backups={_LOG_BACKUPS}",
        "pidfile=run/supervisord.pid",
        "childlogdir=logs",
        "umask=077",
        "strip_ansi=true",
        *(["user=root"] if os.geteuid() == 0 else []),
        "",
        "[unix_http_server]",
        f"file={socket}",
        "chmod=0700",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "",
        "[supervisorctl]",
        f"serverurl=unix://{socket}",
    ]
    programs = [_program(each, priority) for priority, each in enumerate(services, start=1) if not each.once]
    return "\n".join(head) + "\n\n" + "\n\n".join(programs) + "\n"


def _program(service: Service, priority: int) -> str:
    command = _escaped(shlex.join([sys.executable, "-m", "infra.embedded.launch", service.name]))
    return "\n".join(
        [
            f"[program:{service.name}]",
            f"command={command}",
            f"priority={priority}",
            "autostart=false",
            "autorestart=true",
            f"startsecs={service.start_seconds}",
            f"startretries={START_RETRIES}",
            f"stopsignal={service.stop_signal}",
            f"stopwaitsecs={service.stop_wait_s}",
            # PostgreSQL's own processes follow their main process; a signal to all of them would be a crash.
            f"stopasgroup={'false' if service.stop_signal == 'INT' else 'true'}",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile=logs/{service.name}.log",
            f"stdout_logfile_maxbytes={_LOG_BYTES}",
            f"stdout_logfile_backups={_LOG_BACKUPS}",
        ]
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
