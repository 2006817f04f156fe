# What JupyterLab does when it is started as `make lab` does: nothing leaves this machine.
c = get_config()  # noqa: F821  given by Jupyter

c.LabApp.check_for_updates_class = "jupyterlab.handlers.announcements.NeverCheckForUpdate"
c.LabApp.news_url = None
c.LabApp.extension_manager = "readonly"  # the other one asks a package registry for a list
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.allow_root = True  # as in a container; nobody else reaches the address
