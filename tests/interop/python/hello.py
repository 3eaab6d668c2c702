"""Two peers in one program meet by a code, attach over gRPC, and say hello over keys that no server has.

What is generated from proto/ pairs them and carries their frames. What the frames hold between two peers is sealed
by association.py, which is written from section 6 of docs/protocol.md.

usage: hello.py HOST:PORT
"""

import asyncio
import secrets
import sys

import grpc
from peersox.v1 import pairing_pb2 as pairing
from peersox.v1 import pairing_pb2_grpc

import secure
from association import Association, Sealed
from leg import RELIABLE, Leg


async def main(address):
    async with grpc.aio.insecure_channel(address) as connection:
        control = pairing_pb2_grpc.PairingServiceStub(connection)
        # Here: the server draws the digits. It never gets the words.
        made = await control.CreatePairing(pairing.CreatePairingRequest(secret_bits=20))
        code = "-".join([made.nameplate, secrets.choice(secure.WORDS), secrets.choice(secure.WORDS)])
        # There: somebody has typed the code.
        joined = await control.JoinPairing(pairing.JoinPairingRequest(nameplate=made.nameplate))

        here = await attach(control, "initiator", made, code)
        there = await attach(control, "joiner", joined, code)
        await here.leg.peer_online()
        await asyncio.gather(here.secure(), there.secure())
        print("both see:", secure.phrase(here.association.secret))

        await here.send(RELIABLE, b"hello")
        print("heard:", (await there.frame(RELIABLE)).decode())
        await there.leg.close()
        await here.hung_up()


async def attach(control, role, paired, code):
    """Attaches to the relay over gRPC. The ticket that lets a peer in is control's."""
    session = await control.OpenSession(pairing.OpenSessionRequest(credential=paired.credential))
    by_grpc = [it for it in session.endpoints if it.transport == pairing.TRANSPORT_GRPC]
    leg = await Leg.attach(by_grpc[0], session.ticket)
    return Sealed(leg, Association(role, paired.pairing_id, code))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
