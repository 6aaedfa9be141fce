"""The declared services and what supervisord is told of them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from infra.embedded.credentials import ensure_env_file, read_env_file
from infra.embedded.dagster_home import write_dagster_home
from infra.embedded.launch import write_commands
from infra.embedded.ports import Ports
from infra.embedded.services import Group, Service, all_services, child_environment
from infra.embedded.state import StateFolder, remove_socket_folder
from infra.embedded.supervisor.conf import write_conf


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFolder]:
    folder = StateFolder(tmp_path / "state 100%")
    folder.prepare()
    ensure_env_file(folder.path, Ports.from_base())
    yield folder
    remove_socket_folder(folder.path / "run")


@pytest.fixture
def services(state: StateFolder) -> tuple[Service, ...]:
    return all_services(state, Ports.from_base())


def test_services__names_are_unique_and_ports_bound_once(services: tuple[Service, ...]) -> None:
    assert len({each.name for each in services}) == len(services)
    bound = [port for each in services for port in each.ports]
    assert sorted(bound) == sorted(Ports.from_base().as_dict().values())


def test_services__stand_in_the_order_of_groups_and_of_what_they_depend_on(services: tuple[Service, ...]) -> None:
    order = list(Group)
    assert [order.index(each.group) for each in services] == sorted(order.index(each.group) for each in services)
    seen: set[str] = set()
    for each in services:
        assert seen.issuperset(each.depends)
        seen.add(each.name)


def test_services__everything_that_binds_a_port_is_probed(services: tuple[Service, ...]) -> None:
    assert [each.name for each in services if each.ports and not each.probes] == []


def test_conf__is_read_back_with_every_server_and_no_step(
    state: StateFolder, services: tuple[Service, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(state.path)
    options = ServerOptions()
    options.realize(["-c", str(write_conf(state, services))])
    programs = {each.name: each for group in options.process_group_configs for each in group.process_configs}
    assert sorted(programs) == sorted(each.name for each in services if not each.once)
    assert (programs["postgres"].stopsignal, programs["postgres"].stopasgroup) == (signal.SIGINT, False)
    assert Path(programs["api"].stdout_logfile).absolute() == state.log_file("api")
    assert shlex.split(programs["api"].command) == [sys.executable, "-m", "infra.embedded.launch", "api"]
    assert {each.autostart for each in programs.values()} == {False}
    options.close_httpservers()


def test_files__no_secret_leaves_the_env_file(state: StateFolder, services: tuple[Service, ...]) -> None:
    write_conf(state, services)
    write_commands(state, services)
    write_dagster_home(state, Ports.from_base())
    values = read_env_file(state.path / "ballast.env")
    secrets = [values[name] for name in values if name.endswith(("TOKEN", "PASSWORD", "SECRET", "_KEY", "_SID"))]
    secrets += [values[f"BALLAST_{name}"] for name in ("PERSONA_WEBHOOK_SECRETS", "PERSONA_TEMPLATE_ID")]
    secrets += [person.split(":", 2)[2] for person in values["BALLAST_COMPLIANCE_USERS"].split(",")]
    secrets += json.loads(Path(values["BALLAST_PII_KEY_FILE"]).read_text())["keys"].values()
    secrets.append(values["BALLAST_POSTGRES_URL"].split(":")[2].split("@")[0])
    private = ("ballast.env", "sendgrid-events.pem", "pii-keys.json")
    written = [file for file in state.path.rglob("*") if file.is_file() and file.name not in private]
    assert len(written) >= 4
    for file in written:
        text = file.read_text()
        assert not any(secret in text for secret in secrets), file.name


def test_child_environment__names_state_and_service_and_hides_what_the_shell_set(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BALLAST_API_TOKEN", "of the shell")
    monkeypatch.setenv("BALLAST_STATE_DIR", "/elsewhere")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "elsewhere:1")
    monkeypatch.setenv("BALLAST_SENDGRID_API_KEY", "of the shell")
    monkeypatch.setenv("BALLAST_LOG_LEVEL", "DEBUG")
    found = child_environment(state, "api", {"MORE": "1"})
    assert "BALLAST_API_TOKEN" not in found
    assert "PUBSUB_EMULATOR_HOST" not in found
    assert found["BALLAST_STATE_DIR"] == str(state.path)
    assert found["BALLAST_SERVICE"] == "api"
    assert "BALLAST_SENDGRID_API_KEY" not in found
    assert found["BALLAST_LOG_LEVEL"] == "DEBUG"
    assert found["MORE"] == "1"
    assert found["PATH"] == os.environ["PATH"]
