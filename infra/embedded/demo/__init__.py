"""`ballast demo`: the whole chain once, on a stack of its own, with what it did printed as it goes."""

from infra.embedded.demo.run import run_demo

__all__ = ["run_demo"]
