"""Where jobs run, behind one small Protocol: local processes here, Kubernetes Jobs later."""
