"""A peer in another language, against a real server.

What it knows of PeerSox: the code that grpcio generates from proto/, and docs/protocol.md.

usage: interop.py PATH-OF-PEERSOX
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import websockets
from peersox.v1 import pairing_pb2 as pairing
from peersox.v1 import pairing_pb2_grpc, relay_pb2

import channel
import secure
from association import MISMATCH, Association, Burnt, Sealed
from leg import (DATAGRAM, DONE, LANE_UNKNOWN, PATIENCE, PEER_DONE, RELIABLE, SIGNAL, TEXT_MESSAGE,
                 UNKNOWN_LANE, Leg)
from quic import Quic, Refused, WebTransport, WrongCertificate
from websocket import SUBPROTOCOL


async def main(binary):
    global BINARY, ADDRESS
    with server(binary) as address:
        BINARY, ADDRESS = binary, address
        async with grpc.aio.insecure_channel(address) as connection:
            await asyncio.wait_for(connection.channel_ready(), PATIENCE)
            control = pairing_pb2_grpc.PairingServiceStub(connection)
            for check in CHECKS:
                await asyncio.wait_for(check(control), 6 * PATIENCE)
                print(f"  {check.__doc__.splitlines()[0]} ok")


@contextlib.contextmanager
def server(binary):
    """Runs a server on a free port of this machine and yields its address."""
    command = [binary, "serve", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        address = None
        for line in process.stderr:
            print(line, end="", file=sys.stderr)
            if line.startswith("PeerSox is ready at http://"):
                address = line.split("http://")[1].split()[0]
                break
        if address is None:
            raise RuntimeError("the server ended before it said where it is")
        # A pipe that nobody reads would stop the server once it is full.
        threading.Thread(target=shutil.copyfileobj, args=(process.stderr, sys.stderr), daemon=True).start()
        yield address
        process.terminate()
        process.wait(PATIENCE)
    except BaseException:
        # A check that failed leaves its legs open, for which a server that stops would wait.
        process.kill()
        raise


async def configuration(control):
    """The server tells its limits and that it speaks all four transports:"""
    config = await control.GetConfig(pairing.GetConfigRequest())
    assert 4 <= config.nameplate_digits <= 12, config
    assert config.relay_limits.max_frame_bytes >= 4096, config
    assert {WEBSOCKET, QUIC, WEBTRANSPORT, GRPC} <= set(config.transports), config


async def a_code_joins_once(control):
    """A code joins two peers, once:"""
    created = await control.CreatePairing(pairing.CreatePairingRequest())
    assert len(created.pairing_id) == 16 and len(created.credential) == 48, created
    assert created.nameplate.isdigit(), created

    request = pairing.JoinPairingRequest(nameplate=created.nameplate)
    joined = await control.JoinPairing(request)
    assert joined.pairing_id == created.pairing_id
    assert joined.credential != created.credential
    await refused(control.JoinPairing(request), grpc.StatusCode.NOT_FOUND)
    malformed = pairing.JoinPairingRequest(nameplate="no digits")
    await refused(control.JoinPairing(malformed), grpc.StatusCode.INVALID_ARGUMENT)

    for credential, role in [(created.credential, pairing.ROLE_INITIATOR),
                             (joined.credential, pairing.ROLE_JOINER)]:
        state = await control.GetPairing(pairing.GetPairingRequest(credential=credential))
        assert state.joined and state.role == role, state
    stranger = pairing.GetPairingRequest(credential=bytes(48))
    await refused(control.GetPairing(stranger), grpc.StatusCode.UNAUTHENTICATED)


async def frames_cross_the_relay(control):
    """Frames of every lane cross the relay both ways, byte for byte:"""
    for transports in [(WEBSOCKET, WEBSOCKET), (GRPC, WEBSOCKET), (GRPC, GRPC), (QUIC, WEBSOCKET),
                       (WEBTRANSPORT, QUIC), (WEBTRANSPORT, GRPC), (WEBTRANSPORT, WEBTRANSPORT)]:
        await cross(*await legs(control, transports))


async def cross(initiator, joiner):
    assert initiator.welcome.role == pairing.ROLE_INITIATOR
    assert joiner.welcome.role == pairing.ROLE_JOINER and joiner.welcome.peer_online
    await initiator.notice("peer_online")

    largest = bytes(range(256)) * 256
    for lane, payload in [(RELIABLE, "grüß dich".encode()), (RELIABLE, b""),
                          (RELIABLE, largest[1:]), (SIGNAL, b"sealed"), (DATAGRAM, b"now")]:
        for one, other in [(initiator, joiner), (joiner, initiator)]:
            await one.send(lane, payload)
            assert await other.frame(lane) == payload, lane

    await joiner.notify(ping=relay_pb2.Ping(nonce=300))
    assert (await joiner.notice("pong")).pong.nonce == 300
    await joiner.close(DONE)
    assert await initiator.hung_up() == PEER_DONE


async def rules_of_the_leg(control):
    """A leg that breaks a rule is refused or hung up with its number:"""
    initiator, joiner = await legs(control)
    await joiner.wire.send("text")
    assert await joiner.hung_up() == TEXT_MESSAGE
    await initiator.close(DONE)

    initiator, joiner = await legs(control, (WEBSOCKET, GRPC))
    await joiner.send(UNKNOWN_LANE, b"")
    assert await joiner.hung_up() == LANE_UNKNOWN
    assert await joiner.wire.status() == grpc.StatusCode.INVALID_ARGUMENT
    await initiator.close(DONE)

    for transport in [QUIC, WEBTRANSPORT]:
        initiator, joiner = await legs(control, (WEBSOCKET, transport))
        await joiner.send(UNKNOWN_LANE, b"")
        assert await joiner.hung_up() == LANE_UNKNOWN
        await initiator.close(DONE)

    offer, _ = await endpoint(control, (await created(control)).credential)
    for offered in [None, [SUBPROTOCOL + "1"]]:
        try:
            await websockets.connect(offer.url, subprotocols=offered)
        except websockets.InvalidStatus as refusal:
            assert refusal.response.status_code == 400, refusal
        else:
            raise AssertionError(f"a socket that offers {offered} is welcome")


async def no_connection(control):
    """Another ALPN, page, path or certificate than QUIC and WebTransport have get no leg:"""
    credential = (await created(control)).credential
    by_quic, _ = await endpoint(control, credential, QUIC)
    by_http, _ = await endpoint(control, credential, WEBTRANSPORT)
    await gives(Quic.connect(by_quic, alpn=Quic.ALPN + "1"), Refused, NO_APPLICATION_PROTOCOL)
    await gives(WebTransport.connect(by_http, headers=[(b"origin", b"https://foreign.example")]), Refused, 403)
    elsewhere = pairing.RelayEndpoint(url=by_http.url + "/elsewhere", certificate_hashes=by_http.certificate_hashes)
    await gives(WebTransport.connect(elsewhere), Refused, 404)
    for wire, offer in [(Quic, by_quic), (WebTransport, by_http)]:
        forged = pairing.RelayEndpoint(url=offer.url, certificate_hashes=[bytes(32)])
        await gives(wire.connect(forged), WrongCertificate)


async def gives(connecting, error, number=None):
    """Expects connecting to fail with this error, and its number if it has one."""
    try:
        await connecting
    except error as given:
        assert getattr(given, "number", None) == number, given
    else:
        raise AssertionError(f"connected, and not {error.__name__} {number}")


async def a_network_that_is_gone(control):
    """A leg that falls silent is taken over by the next one:"""
    # Over WebTransport the relay waits 10 s for a peer that fell silent to acknowledge the capsule, and so would
    # the end of this program.
    made = await created(control)
    joined = await join(control, made.nameplate)
    initiator = await Leg.attach(*await endpoint(control, made.credential, WEBTRANSPORT))
    joiner = await leg_of(control, joined, QUIC)
    await initiator.notice("peer_online")
    joiner.abort()
    await joiner.send(RELIABLE, b"into nothing")

    joiner = await leg_of(control, joined, QUIC)
    assert joiner.welcome.resumed, joiner.welcome
    await initiator.notice("peer_away")
    await initiator.notice("peer_online")
    for one, other in [(initiator, joiner), (joiner, initiator)]:
        await one.send(RELIABLE, b"again")
        assert await other.frame(RELIABLE) == b"again"
    await joiner.close(DONE)
    assert await initiator.hung_up() == PEER_DONE


async def sealed_over_grpc(control):
    """A peer over gRPC, which needs nothing but generated code, meets one over WebSocket:"""
    made = await created(control)
    code = f"{made.nameplate}-tulip-ember"
    joined = await join(control, code)
    here, there = [
        Sealed(await Leg.attach(*await endpoint(control, paired.credential, transport)),
               Association(role, paired.pairing_id, code))
        for role, paired, transport in [("initiator", made, GRPC), ("joiner", joined, WEBSOCKET)]]
    await here.leg.peer_online()
    await asyncio.gather(here.secure(), there.secure())
    assert here.association.secret == there.association.secret
    for one, other in [(here, there), (there, here)]:
        for lane, plaintext in [(RELIABLE, bytes(range(256)) * 200), (DATAGRAM, b"now"), (RELIABLE, b"x")]:
            await one.send(lane, plaintext)
            assert await other.frame(lane) == plaintext, lane
    await there.leg.close(DONE)
    assert await here.hung_up() == PEER_DONE


async def a_conversation(control):
    """Text and binary go sealed both ways with `peersox connect`:"""
    for transport in [WEBSOCKET, GRPC, WEBTRANSPORT, QUIC]:
        async with connect() as process:
            code = (await event(process, "code"))["code"]
            joined = await join(control, code)
            leg = await attach(control, "joiner", joined, code, transport)
            await leg.secure()
            await goes_well(leg, process)


async def a_conversation_begun_here(control):
    """The same where this side shows the code:"""
    made = await created(control)
    code = f"{made.nameplate}-tulip-ember"
    async with connect(code) as process:
        leg = await attach(control, "initiator", made, code)
        await leg.secure()
        await goes_well(leg, process)


async def a_lost_leg(control):
    """A leg that is lost on the way costs nothing in either role, and brings fresh keys:"""
    async with connect() as process:
        code = (await event(process, "code"))["code"]
        await loses_a_leg(control, "joiner", await join(control, code), code, process)
    made = await created(control)
    code = f"{made.nameplate}-tulip-ember"
    async with connect(code) as process:
        await loses_a_leg(control, "initiator", made, code, process)


async def the_guide(control):
    """The two programs of docs/guides/python.md say hello:"""
    environment = os.environ | {"PEERSOX_SERVER": f"http://{ADDRESS}",
                                "PATH": f"{Path(BINARY).parent}:{os.environ['PATH']}"}

    async with contextlib.AsyncExitStack() as all_of_them:
        async def start(name, *arguments):
            program = await asyncio.create_subprocess_exec(
                sys.executable, Path(__file__).with_name(name), *arguments,
                env=environment, stdout=asyncio.subprocess.PIPE)
            all_of_them.callback(lambda: program.returncode is None and program.kill())
            return program

        async def end(program):
            told, _ = await program.communicate()
            assert program.returncode == 0, told
            return told.decode().splitlines()

        phrase, heard = await end(await start("hello.py", ADDRESS))
        assert phrase.startswith("both see: ") and heard == "heard: hello", (phrase, heard)
        here = await start("pipe.py")
        code = (await here.stdout.readline()).decode().removeprefix("code: ").strip()
        there = await start("pipe.py", code)
        told = await asyncio.gather(end(here), end(there))
        assert told[0] == told[1] and told[0][1] == "heard: hello from Python", told


async def a_wrong_word(control):
    """A wrong word spends the code, both are told, and the next code works:"""
    async with connect() as process:
        code = (await event(process, "code"))["code"]
        rest, _, word = code.rpartition("-")
        guess = f"{rest}-{'ember' if word == 'tulip' else 'tulip'}"
        leg = await attach(control, "joiner", await join(control, guess), guess)
        try:
            await leg.secure()
        except Burnt as burnt:
            assert burnt.told and burnt.reason == MISMATCH, burnt
        else:
            raise AssertionError(f"{guess} was as good as {code}")
        assert await leg.hung_up() == PEER_DONE
        await event(process, "code_spent")

        another = (await event(process, "code"))["code"]
        assert another.split("-")[0] != code.split("-")[0], another
        leg = await attach(control, "joiner", await join(control, another), another)
        await leg.secure()
        await goes_well(leg, process)


WEBSOCKET, GRPC = pairing.TRANSPORT_WEBSOCKET, pairing.TRANSPORT_GRPC
QUIC, WEBTRANSPORT = pairing.TRANSPORT_QUIC, pairing.TRANSPORT_WEBTRANSPORT
NO_APPLICATION_PROTOCOL = 0x100 + 120  # An alert of TLS (RFC 7301) in QUIC (RFC 9001, section 4.8).
CHECKS = [configuration, a_code_joins_once, frames_cross_the_relay, rules_of_the_leg, no_connection,
          a_network_that_is_gone, sealed_over_grpc, a_conversation, a_conversation_begun_here, a_lost_leg,
          the_guide, a_wrong_word]
BINARY = ADDRESS = None


@contextlib.asynccontextmanager
async def connect(*code):
    """Runs `peersox connect`. Over QUIC, so that the two legs of most sessions differ."""
    process = await asyncio.create_subprocess_exec(
        BINARY, "connect", "--json", "--server", f"http://{ADDRESS}", "--transport", "quic", *code,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()


async def event(process, name):
    """Returns the next event of this name; others are passed over."""
    while True:
        line = await asyncio.wait_for(process.stderr.readline(), PATIENCE)
        assert line.startswith(b"{"), f"{line} while waiting for {name}"
        told = json.loads(line)
        if told["event"] == name:
            return told


async def join(control, code):
    """Joins with what the server may know of a code: its digits."""
    request = pairing.JoinPairingRequest(nameplate=code.split("-")[0])
    return await control.JoinPairing(request)


async def attach(control, role, paired, code, transport=pairing.TRANSPORT_WEBSOCKET):
    """Attaches, to prove the code to the other peer."""
    leg = await leg_of(control, paired, transport)
    return Sealed(leg, Association(role, paired.pairing_id, code))


async def leg_of(control, paired, transport=pairing.TRANSPORT_WEBSOCKET):
    """Attaches, and waits until the other peer has."""
    leg = await Leg.attach(*await endpoint(control, paired.credential, transport))
    await leg.peer_online()
    return leg


async def loses_a_leg(control, role, paired, code, process):
    """Has a conversation over two legs, one after the other."""
    leg = await attach(control, role, paired, code)
    await leg.secure()
    keys = leg.association.current
    await goes_well(leg, process, lambda: leg_of(control, paired))
    assert leg.association.current is not keys


async def goes_well(leg, process, another=None):
    """Has a whole conversation with `peersox connect`, which shows the phrase of this side, too."""
    association = leg.association
    assert association.other_hello.startswith(b"peersox/"), association.other_hello
    incoming = bytes(range(256)) * 4000
    await channel.converse(leg, association.role, process, incoming, another)
    shown = (await event(process, "secured"))["phrase"]
    assert shown == secure.phrase(association.secret), shown
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def created(control):
    return await control.CreatePairing(pairing.CreatePairingRequest())


async def legs(control, transports=(pairing.TRANSPORT_WEBSOCKET,) * 2):
    """Pairs, and returns the two legs in one session."""
    first = await created(control)
    request = pairing.JoinPairingRequest(nameplate=first.nameplate)
    second = await control.JoinPairing(request)
    initiator = await Leg.attach(*await endpoint(control, first.credential, transports[0]))
    joiner = await Leg.attach(*await endpoint(control, second.credential, transports[1]))
    return initiator, joiner


async def endpoint(control, credential, transport=pairing.TRANSPORT_WEBSOCKET):
    """Opens a session and returns the endpoint of this transport and the ticket."""
    session = await control.OpenSession(pairing.OpenSessionRequest(credential=credential))
    assert session.refresh_at_millis < session.ticket_expires_at_millis, session
    for offered in session.endpoints:
        if offered.transport == transport:
            return offered, session.ticket
    raise AssertionError(f"no endpoint of transport {transport}")


async def refused(call, status):
    """Expects a call to fail with this status."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        assert error.code() == status, error
    else:
        raise AssertionError(f"{status} expected, got {answer}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
