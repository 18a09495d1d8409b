"""Runs one command in a private root and passes its exit code on.

Started as ``python -I -S -c "<START>"`` with an empty environment (see ``container``). Standard input is the control
pipe. It begins with the specification (the fields of ``sandbox.LaunchSpec``, marshalled, after their length in 8
bytes). A later line ``stop <grace seconds>`` sends SIGTERM now and SIGKILL after the grace period. The pipe's end, or
the death of the parent, kills everything. Standard output and error are the command's. If the command cannot be
started, the step, the errno and a detail are written to the descriptor ``status_fd``, separated by NUL; otherwise
nothing is.

There are three processes: the launcher itself, which watches from outside the namespaces; the first process of the pid
namespace, whose end kills all others in it; and the command. Only a little of the standard library is used, because
every import delays every container (``json``, ``signal`` or ``pathlib`` by as much as all the rest). After pivot_root
there may be nothing left to import from.
"""
