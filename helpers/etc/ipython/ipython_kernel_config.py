"""Set up by the installation of migrationlab for the kernels of its environment."""

c.InteractiveShellApp.extensions.append("migrationlab.course.ipython_errors")  # noqa: F821 - IPython's
