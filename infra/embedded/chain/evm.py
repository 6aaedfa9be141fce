"""An Ethereum chain in memory (py-evm), whose blocks follow the wall clock."""

from __future__ import annotations

from eth_tester.backends.pyevm import PyEVMBackend
from eth_tester.exceptions import TransactionFailed
from eth_utils.address import to_canonical_address

from infra.embedded.chain.addresses import CHAIN_ID, DEPLOYER
from infra.embedded.errors import EmbeddedError
from infra.runtime.clock import Clock

# The contracts stand in blocks this old, so that a node that fell behind can be shown as it is.
OLD_BLOCKS_S = 7200
_CALL_GAS = 25_000_000
_DEPLOY_GAS = 3_000_000
_MAX_FEE = 1000 * 10**9


class RevertedError(Exception):
    """A call that the contract refused."""


class Evm:
    """One chain with one account, which owns everything; not safe for use by two threads at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        genesis_at = self._now() - OLD_BLOCKS_S
        self._backend = PyEVMBackend(
            genesis_parameters=PyEVMBackend.generate_genesis_params({"timestamp": genesis_at}),
            genesis_state=PyEVMBackend.generate_genesis_state(num_accounts=1),
        )
        if self._backend.chain.chain_id != CHAIN_ID:
            raise EmbeddedError(f"eth-tester's chain id is {self._backend.chain.chain_id} now: correct CHAIN_ID.")
        self._nonce = 0
        self._block_at(genesis_at + 1)

    @property
    def head(self) -> int:
        """The number of the newest block."""
        return int(self._backend.chain.header.block_number) - 1

    def head_at(self, block: int | None = None) -> int:
        """The time of a block, by default the newest."""
        number = self.head if block is None else block
        return int(self._backend.chain.get_canonical_block_header_by_number(number).timestamp)

    def block_hashes(self, block: int) -> tuple[bytes, bytes]:
        """The block's hash and its parent's."""
        header = self._backend.chain.get_canonical_block_header_by_number(block)
        return bytes(header.hash), bytes(header.parent_hash)

    def mine(self, *, is_old: bool = False) -> None:
        """Close the pending block; the next one is dated now, or right after its parent if it is to be old."""
        self._backend.mine_blocks()
        self._block_at(self.head_at() + 1 if is_old else max(self._now(), self.head_at() + 1))

    def date_next(self) -> None:
        """Date the pending block now; it must hold no transaction yet."""
        self._block_at(max(self._now(), self.head_at() + 1))

    def deploy(self, bytecode: bytes, arguments: bytes = b"") -> None:
        """Create a contract in the pending block."""
        self._send({"data": bytecode + arguments, "gas": _DEPLOY_GAS})

    def transact(self, to: str, data: bytes, gas: int) -> None:
        """Send a transaction into the pending block."""
        self._send({"to": to_canonical_address(to), "data": data, "gas": gas})

    def call(self, to: str, data: bytes, block: int | None = None) -> bytes:
        """What a call returns on a block, by default the newest; raises `RevertedError`."""
        asked = {
            "from": to_canonical_address(DEPLOYER),
            "to": to_canonical_address(to),
            "data": data,
            "gas": _CALL_GAS,
            "max_fee_per_gas": _MAX_FEE,
            "max_priority_fee_per_gas": 0,
        }
        try:
            return bytes(self._backend.call(asked, self.head if block is None else block))
        except TransactionFailed as error:
            raise RevertedError(str(error)) from None

    def code(self, address: str) -> bytes:
        """The code at an address."""
        return bytes(self._backend.get_code(to_canonical_address(address)))

    @property
    def next_nonce(self) -> int:
        """The nonce of the next transaction, which fixes the address that it creates."""
        return self._nonce

    def _send(self, transaction: dict[str, object]) -> None:
        common = {
            "from": to_canonical_address(DEPLOYER),
            "nonce": self._nonce,
            "max_fee_per_gas": _MAX_FEE,
            "max_priority_fee_per_gas": 0,
        }
        self._backend.send_transaction(common | transaction)
        self._nonce += 1

    def _block_at(self, timestamp: int) -> None:
        chain = self._backend.chain
        chain.header = chain.header.copy(timestamp=timestamp)

    def _now(self) -> int:
        return int(self._clock.now().timestamp())
