"""A notebook's kernel whose own log goes nowhere; what cells print is captured all the same."""

from subprocess import DEVNULL

from jupyter_client import AsyncKernelManager


class SilentKernelManager(AsyncKernelManager):
    """Starts kernels without a terminal: one that is interrupted would print its traceback there."""

    async def _async_start_kernel(self, **options) -> None:
        await super()._async_start_kernel(**(options | {"stdout": DEVNULL, "stderr": DEVNULL}))

    start_kernel = _async_start_kernel
