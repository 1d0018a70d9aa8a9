from tests.pipeline.run.conftest import _token, sandbox

__all__ = ["_token", "sandbox"]
