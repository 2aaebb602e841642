"""API keys: authentication, permissions and rate limits.

secret.py  a key as the client has it: generated, hashed, never kept
key.py     a key as the operator has it: its section in the file, without the secret
ring.py    all keys of a gateway, found by their secrets in constant time; pure
sent.py    the headers in which clients send a key; pure
quota.py   limits on requests per minute and on concurrent requests; pure
gate.py    authentication against the current keys, and the usage of each
file.py    the file of keys: read whole, checked, replaced in one step
text.py    the text of that file, and the edits of `gateway key`; pure

A key is 32 random bytes, so a plain SHA-256 of it is safe to keep: 2^256 values cannot be tried.
The slow hashes that passwords need (bcrypt and the like) would make every request expensive, and
would let a client that sends wrong keys keep the gateway busy.
"""

from gateway.http.keys.file import KeyFile, Keys, keys_of, read_keys
from gateway.http.keys.gate import Gate
from gateway.http.keys.key import Key
from gateway.http.keys.ring import KeyRing

__all__ = ["Gate", "Key", "KeyFile", "KeyRing", "Keys", "keys_of", "read_keys"]
