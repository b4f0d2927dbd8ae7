"""A mail server that was written by others: aiosmtpd, with STARTTLS and a password.

Usage: mailbox.py CERTIFICATE KEY. Prints `port N`, then each mail that it takes as a line of JSON, and ends when its
standard input does. Name and password are `attestree` and `correct horse`.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Mailbox:
    """Prints what comes."""

    async def handle_DATA(self, _server, _session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        print(
            json.dumps(
                {
                    "from": envelope.mail_from,
                    "to": envelope.rcpt_tos,
                    "headers": {name: str(value) for name, value in mail.items()},
                    "text": mail.get_content(),
                }
            ),
            flush=True,
        )
        return "250 kept"


def authenticate(_server, _session, _envelope, _mechanism, given):
    right = (given.login, given.password) == (b"attestree", b"correct horse")
    return AuthResult(success=right)


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])

    def connection():
        return SMTP(
            Mailbox(),
            hostname="mailbox.example",
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=authenticate,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(connection, "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
