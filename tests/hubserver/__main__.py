"""``python -m tests.hubserver``: a Hub of one's own, until Ctrl-C."""

from __future__ import annotations

import argparse
import json

from tests.hubserver.server import HubServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hubserver", description=__doc__)
    parser.add_argument("--port", type=int, default=8799)
    parser.add_argument(
        "--token", action="append", default=[], metavar="TOKEN=USER", help="[hf_me=me]"
    )
    parser.add_argument("--org", action="append", default=[], metavar="ORG=USER,USER")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME=JSON",
        help="such as corrupt='\".bin\"'",
    )
    args = parser.parse_args()
    server = HubServer(port=args.port)
    for pair in args.token or ["hf_me=me"]:
        token, _, user = pair.partition("=")
        server.hub.users[token] = user
    for pair in args.org:
        org, _, members = pair.partition("=")
        server.hub.orgs[org] = set(members.split(","))
    given = (pair.partition("=") for pair in args.fault)
    server.faults.set({name: json.loads(value) for name, _, value in given})
    for token, user in server.hub.users.items():
        print(f"export HF_ENDPOINT={server.url} HF_TOKEN={token}   # as {user}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
