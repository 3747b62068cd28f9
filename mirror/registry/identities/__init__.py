"""Identities: accounts, users, roles, their keys and policies; the tokens and sessions that speak for them."""

from mirror.registry.identities.assumption import Assumption
from mirror.registry.identities.basic import read_basic
from mirror.registry.identities.callers import Caller, Credential, Scope, TokenExpired
from mirror.registry.identities.declared import Reconciled, reconcile
from mirror.registry.identities.identities import Identities, caller_identity
from mirror.registry.identities.passwords import Passwords
from mirror.registry.identities.root_key import ROOT_FILE
from mirror.registry.identities.seals import SealBroken, Seals, SealsUnusable, open_seals
from mirror.registry.identities.sessions import Session
from mirror.registry.identities.signatures import Signatures
from mirror.registry.identities.signing_keys import SigningKeys
from mirror.registry.identities.tokens import Issued, Tokens

__all__ = [
    "ROOT_FILE",
    "Assumption",
    "Caller",
    "Credential",
    "Identities",
    "Issued",
    "Passwords",
    "Reconciled",
    "Scope",
    "SealBroken",
    "Seals",
    "SealsUnusable",
    "Session",
    "Signatures",
    "SigningKeys",
    "TokenExpired",
    "Tokens",
    "caller_identity",
    "open_seals",
    "read_basic",
    "reconcile",
]
