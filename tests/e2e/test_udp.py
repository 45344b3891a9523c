# SPDX-License-Identifier: GPL-2.0-or-later
"""UDP through a forward, as a resolver asks a name server: one socket a question."""

import json
import sys

import pytest

from lab.topology import FORWARDS, TARGET

pytestmark = pytest.mark.sanitized

PORT, SERVER_PORT = 33053, 53

# argv: port, how many questions, their size. Prints for each what came back, or why nothing did.
_ASK = """
import json, socket, sys
port, count, size = map(int, sys.argv[1:])
replies = []
for i in range(count):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect((socket.gethostbyname("vpn"), port))
        question = (b"%06d" % i).ljust(size, b"q")
        try:
            s.send(question)
            source, _, answer = s.recv(65535).partition(b" ")
            replies.append([source.decode(), answer == question[::-1]])
        except OSError as error:
            replies.append([type(error).__name__, False])
print(json.dumps(replies))
"""


def start(lab):
    lab.site.start()
    lab.site.web.start_udp_echo(SERVER_PORT)
    forwards = {**FORWARDS, PORT: {"to": f"{TARGET}:{SERVER_PORT}", "transport": "udp"}}
    lab.add_gateway([lab.environment(forwards=forwards)]).start()
    lab.gateway.wait_up()


def ask(lab, count=1, size=60, port=PORT):
    done = lab.client.run(sys.executable, "-c", _ASK, str(port), str(count), str(size), timeout=90)
    return json.loads(done.stdout)


def test_questions_and_answers(lab):
    start(lab)
    replies = ask(lab, count=200)
    assert all(is_right for _, is_right in replies), replies
    sources = {source for source, _ in replies}
    assert len(sources) == 1 and sources.pop().startswith("10.20."), "the tunnel's inner address"
    # a few sockets may have got the port of an earlier one
    assert 150 < lab.gateway.counters()["sessions/now"] <= 200


def test_port_without_a_forward_is_refused_at_once(lab):
    """TCP on 33000 is forwarded, UDP is not."""
    start(lab)
    assert ask(lab, port=33000) == [["ConnectionRefusedError", False]]
    assert [is_right for _, is_right in ask(lab)] == [True]
