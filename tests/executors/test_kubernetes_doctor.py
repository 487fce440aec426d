"""What cannot be shown with the testbed's own cluster: a server that is too old."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gitdata.backends.kube import Cluster, Kube
from gitdata.errors import RemoteError
from gitdata.executors.kubernetes_doctor import check_server


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.parametrize(("minor", "fine"), [("32", False), ("32+", False), ("33", True), ("36+", True)])
def test_an_old_server_is_refused(tmp_path: Path, minor: str, fine: bool) -> None:
    (tmp_path / "version").write_text(json.dumps({"major": "1", "minor": minor}))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        file = tmp_path / "kubeconfig"
        clusters = [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}]
        contexts = [{"name": "x", "context": {"cluster": "c", "user": "u"}}]
        users = [{"name": "u", "user": {"token": "t"}}]
        file.write_text(
            json.dumps({"clusters": clusters, "contexts": contexts, "users": users, "current-context": "x"})
        )
        kube = Kube(Cluster("n", str(file)))
        if fine:
            assert check_server(kube) == f"1.{minor.rstrip('+')}"
        else:
            with pytest.raises(RemoteError, match=r"1\.32 is too old"):
                check_server(kube)
        server.shutdown()
