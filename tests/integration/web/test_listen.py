"""Listening sockets of our own, on real addresses."""

import socket
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tracker.errors import ListenError
from tracker.web.listen import address_of, open_listener


def test_an_address_is_told_as_people_write_it() -> None:
    with closing(open_listener(host="127.0.0.1", port=0)) as listener:
        assert address_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_an_address_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=rf"cannot listen on 127.0.0.1:{port}: .*another program"):
            open_listener(host="127.0.0.1", port=port)


def test_a_unix_socket_is_for_its_user_and_group(tmp_path: Path) -> None:
    path = tmp_path / "public.sock"
    with closing(open_listener(path=str(path))) as listener:
        assert address_of(listener) == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_socket_file_that_nobody_serves_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "public.sock")
    open_listener(path=path).close()

    with closing(open_listener(path=path)) as listener:
        listener.listen()


def test_a_socket_file_that_somebody_serves_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "public.sock")
    with closing(open_listener(path=path)) as serving:
        serving.listen()
        with pytest.raises(ListenError, match=r"cannot listen on unix:.*public\.sock"):
            open_listener(path=path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("to my aunt")

    with pytest.raises(ListenError, match=r"letter\.txt"):
        open_listener(path=str(path))
    assert path.read_text() == "to my aunt"
