"""Keys: who may ask for what, and how much.

secret.py  a key as the client has it: made, hashed, never kept
key.py     a key as the operator has it: its line in the file, without the secret
ring.py    all keys of a gateway: from a secret to its key, in constant time; pure
sent.py    where in a request clients put their key; pure
quota.py   requests per minute and at a time; pure
gate.py    the keys in force, what each has used, and who is let in
file.py    the file of keys: read whole, checked, written in one step
text.py    the text of that file, and what `gateway key` changes in it; pure

A key is 32 random bytes, so a plain SHA-256 of it is safe to keep: nobody can try 2^256 of them. The
slow hashes that passwords need (bcrypt and the like) would make every request dear, and let anybody
who sends wrong keys keep the gateway busy.
"""

from gateway.keys.file import KeyFile, Keys, keys_of, read_keys
from gateway.keys.gate import Gate
from gateway.keys.key import Key
from gateway.keys.ring import KeyRing

__all__ = ["Gate", "Key", "KeyFile", "KeyRing", "Keys", "keys_of", "read_keys"]
