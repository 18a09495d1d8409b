"""From a Dockerfile to the steps of the process runtime: parsed, then each instruction taken or refused. Pure."""
