"""When the server refuses to start, and what it says."""

from __future__ import annotations

import pytest

from infra.embedded.bigquery.version import UnsupportedVersionError, require_repaired_version


@pytest.mark.parametrize("installed", ["1.1.1", "1.4.1", "none"])
def test_other_version__is_refused_by_name(installed):
    with pytest.raises(UnsupportedVersionError, match=f"1.4.0 exactly, found {installed}"):
        require_repaired_version(installed)


def test_repaired_version__is_accepted():
    require_repaired_version("1.4.0")


def test_without_a_token__the_server_does_not_start(new_server):
    server = new_server()
    server.folder.mkdir(parents=True)
    process = server.spawn({"BALLAST_BIGQUERY_TOKEN": ""})
    assert process.wait(timeout=60) == 2
    assert "BALLAST_BIGQUERY_TOKEN" in server.log.read_text()


def test_ready_line__names_the_addresses_and_not_the_token(new_server, token):
    server = new_server().start()
    assert server.log.read_text() == (f"BigQuery is ready: REST {server.url}, gRPC 127.0.0.1:{server.grpc_port}\n")
    assert token not in " ".join(server.process.args)
