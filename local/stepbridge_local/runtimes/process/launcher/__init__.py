"""Runs one command in a private root and passes its exit code on.

Started as ``python -I -S -c "<START>"`` with an empty environment (see ``container``). Standard input is the control
pipe: it begins with the specification (the fields of ``sandbox.LaunchSpec``, marshalled, after their length in 8
bytes); later a line ``stop <grace seconds>`` sends SIGTERM now and SIGKILL after the grace; its end, like the death of
the parent, kills everything. Standard output and error are the command's. When the command cannot be started, the
step, the errno and a detail are written to the descriptor ``status_fd``, with NUL between them, and nothing otherwise.

Three processes: the launcher itself, outside of the namespaces, which watches; the first process of the pid namespace,
whose end kills all others in it; and the command. Only the standard library is used, and little of it: every import
here delays every container (``json``, ``signal`` or ``pathlib`` by as much as all the rest), and after pivot_root there
may be nothing left to import from.
"""
