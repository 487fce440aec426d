"""The table of verbs: ``gitdata --help`` prints it, ``cli.py`` dispatches on it, completion is made of it.

A new verb is a line here and a module beside this one. Importing this imports nothing else.
"""

from __future__ import annotations

# (verb, one line of help, heading); the module is the verb with "_" for " " and "-".
VERBS: tuple[tuple[str, str, str], ...] = (
    ("init", "make this git repository a gitdata repository: remote, hooks", "Data"),
    ("clone", "git clone, then the git hooks and the data of its commit", "Data"),
    ("add", "store files or folders in the cache and write their pointers", "Data"),
    ("put", "copy a file, folder, URL or standard input into a data folder", "Data"),
    ("status", "what changed in data, pointers and outputs", "Data"),
    ("commit", "add what changed, then git commit", "Data"),
    ("push", "send data to the remote, then git push", "Data"),
    ("pull", "git pull, then bring the data of the pointers", "Data"),
    ("checkout", "make the data in the workspace what the pointers say", "Data"),
    ("mv", "move or rename data, with its pointer", "Data"),
    ("rm", "remove data, with its pointer", "Data"),
    ("ls", "list the files of a data path, at any revision", "Data"),
    ("get", "write a file or folder of any revision to a place of your choice", "Data"),
    ("log", "the commits that changed data", "Data"),
    ("diff", "which files of the data differ between two revisions", "Data"),
    ("hooks install", "install the git hooks (init does it)", "Data"),
    ("hooks uninstall", "remove them and restore what was there", "Data"),
    ("hooks status", "which hooks are installed", "Data"),
    ("stage validate", "check the stage specs of the working tree or a commit", "Pipelines"),
    ("plan", "what would run for a commit, and why", "Pipelines"),
    ("run", "run stages for the working tree, without a push", "Pipelines"),
    ("controller", "watch a repository, run what its pushes change, publish the outputs", "Pipelines"),
    ("job list", "the runs of the stages, newest first", "Pipelines"),
    ("job inspect", "everything known about one job", "Pipelines"),
    ("job logs", "what a job's commands printed", "Pipelines"),
    ("job wait", "wait until a commit's outputs are published", "Pipelines"),
    ("job retry", "ask the controller to try a failed run again", "Pipelines"),
    ("job cancel", "ask the controller to end a run", "Pipelines"),
    ("images build", "build the folder images of a commit's stages on this machine", "Pipelines"),
    ("images push", "build and push those that the registry does not have", "Pipelines"),
    ("images list", "where the folder images of a commit's stages are, and which are built", "Pipelines"),
    ("images refresh", "ask the controller what the tags of stages' images mean now", "Pipelines"),
    ("prov show", "the provenance records of a commit", "Provenance"),
    ("prov trace", "from an output back to the raw inputs and the code", "Provenance"),
    ("notify list", "the messages of the outbox and their states", "Notifications"),
    ("notify resend", "ask the controller to send a message again", "Notifications"),
    ("notify release", "ask the controller to send held messages", "Notifications"),
    ("deploy", "run gitdata in a Kubernetes cluster", "Cluster"),
    ("undeploy", "take away from the cluster what deploy made; data stays", "Cluster"),
    ("doctor", "what is missing on this machine, in this repository or in a cluster", "Other"),
    ("completion", "print the shell completion for bash, zsh or fish", "Other"),
    ("hook", "what the installed git hooks call", ""),
)
