"""Through the gate by asyncssh: `tunnel=`. The key is the argument."""
import asyncio
import sys

import asyncssh


async def main():
    common = {"known_hosts": None, "client_keys": [sys.argv[1]], "username": "ana", "agent_path": None}
    async with asyncssh.connect("10.0.1.5", 2222, local_addr=("10.0.1.77", 0), **common) as gate:
        async with asyncssh.connect("10.0.2.9", tunnel=gate, **common) as target:
            print((await target.run("echo here")).stdout)
        try:
            await gate.run("true")
            raise SystemExit("it gave a session")
        except asyncssh.ChannelOpenError as refused:
            assert refused.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, refused


asyncio.run(main())
