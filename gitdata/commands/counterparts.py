"""What to type here for the verbs and options of DVC, pachctl and git: each answer is the hint of an error.

Read by ``suggestion`` when a word is not gitdata's. Only text; ``docs/dvc.md`` and ``docs/pachctl.md`` have the same
for readers. No answer may name a command that would remove what somebody made.
"""

from __future__ import annotations

from collections.abc import Mapping

# Verbs of DVC that work in a gitdata repository as they are, because its pointers, cache and remotes are DVC's.
_WORKS = (
    "artifacts", "cache", "check-ignore", "config", "daemon", "dataset", "ds", "du", "freeze", "get-url", "import",
    "import-db", "import-url", "list-url", "ls-url", "metrics", "params", "plots", "queue", "remote", "root", "studio",
    "test-db", "unfreeze", "unprotect", "update",
)  # fmt: skip

_GC = (
    "never `dvc gc --cloud` here: it removes from the remote what other branches and the outputs of stages need; "
    "`dvc gc --all-commits` frees this cache of what no commit names"
)
_EXPERIMENTS = "`dvc exp` works here, for the stages of dvc.yaml; `gitdata run` runs those of stages/"

DVC: Mapping[str, str] = {
    **{verb: f"`dvc {verb}` works here" for verb in _WORKS},
    "dag": "`dvc dag` works here, for dvc.yaml; `gitdata plan` shows the stages of stages/",
    "data": "`gitdata status`; `dvc data status` works here too",
    "destroy": "`gitdata hooks uninstall` takes the hooks away; `dvc destroy` removes all pointers and the cache",
    "exp": _EXPERIMENTS,
    "experiments": _EXPERIMENTS,
    "fetch": "`gitdata pull`, or `gitdata checkout` without git; `dvc fetch` works here, for the cache alone",
    "gc": _GC,
    "git-hook": "`gitdata hooks install` installs the hooks",
    "install": "`gitdata hooks install`",
    "list": "`gitdata ls`",
    "move": "`gitdata mv SRC DEST`",
    "remove": "`gitdata rm --cached PATH` keeps the data here, as `dvc remove` does; `gitdata rm PATH` removes it too",
    "repro": "`dvc repro` works here, for dvc.yaml; `gitdata run` runs the stages of stages/",
    "stage add": "write a stage spec below stages/; `dvc stage add` works here, for dvc.yaml",
    "stage list": "`gitdata plan`; `dvc stage list` works here, for dvc.yaml",
}

PACHYDERM: Mapping[str, str] = {
    "copy file": "`cp` in your clone, then `gitdata commit`",
    "create branch": "`git branch`",
    "create pipeline": "commit the spec below stages/, then `git push`",
    "create repo": "`gitdata add FOLDER`, a folder of your clone",
    "delete file": "`rm` in your clone, then `gitdata commit`",
    "delete pipeline": "`git rm` the spec, then `git push`",
    "diff file": "`gitdata diff A B`",
    "edit pipeline": "edit the spec below stages/, commit it, then `git push`",
    "extract": "`git clone`, and a copy of the data remote",
    "finish commit": "`git commit`, then `git push`",
    "flush commit": "`gitdata job wait`",
    "flush job": "`gitdata job wait`",
    "garbage-collect": _GC,
    "get file": "`gitdata get REV:PATH`",
    "glob file": "`gitdata ls REV:PATH`",
    "inspect commit": "`gitdata log`, `git show`, or `gitdata prov show REV`",
    "inspect datum": "`gitdata job logs JOB --datum ID`",
    "inspect file": "`gitdata ls REV:PATH`",
    "inspect job": "`gitdata job inspect JOB`",
    "inspect pipeline": "`gitdata plan`",
    "inspect repo": "`gitdata ls`",
    "list branch": "`git branch`",
    "list commit": "`gitdata log`",
    "list datum": "`gitdata job inspect JOB`",
    "list file": "`gitdata ls REV:PATH`",
    "list job": "`gitdata job list`",
    "list pipeline": "`gitdata plan`",
    "list repo": "`gitdata ls`",
    "logs --job": "`gitdata job logs JOB`",
    "logs --pipeline": "`gitdata job list --stage STAGE`, then `gitdata job logs JOB`",
    "mount": "`gitdata get REV:PATH -o FOLDER`",
    "put file": "`gitdata put FILE FOLDER/`, or copy the file there, then `gitdata commit`",
    "restart datum": "`gitdata job retry JOB`",
    "restore": "`git clone` and the copy of the data remote; for files of git `git restore`",
    "run pipeline": "`gitdata run STAGE`, or `gitdata job retry JOB`",
    "start commit": "`git commit`, then `git push`",
    "start pipeline": "`git revert` the commit that removed the spec, then `git push`",
    "stop job": "`gitdata job cancel JOB`",
    "stop pipeline": "`git rm` the spec, then `git push`",
    "subscribe commit": "`gitdata job wait` after each push",
    "update pipeline": "commit the changed spec below stages/, then `git push`",
    "wait commit": "`gitdata job wait REV`",
    "wait job": "`gitdata job wait REV`",
}

# Verbs of git that gitdata needs none of its own for: the hooks take the data along.
GIT = (
    "am", "apply", "archive", "bisect", "blame", "branch", "bundle", "cherry-pick", "clean",
    "describe", "difftool", "format-patch", "fsck", "gitk", "grep", "lfs", "maintenance", "merge", "mergetool",
    "notes", "range-diff", "rebase", "reflog", "reset", "restore", "revert", "shortlog", "show",
    "sparse-checkout", "stash", "submodule", "switch", "tag", "worktree",
)  # fmt: skip

_LEAVE = "leave it out"
_IN_CACHE = "`dvc fetch {0}` works here, for the cache alone; then `gitdata checkout`"
_DVC_PULL = "`gitdata pull` brings all data of the commit; `dvc pull {0}` works here"
_DVC_PUSH = "`gitdata push` sends the data of the commit; `dvc push {0}` works here"
_DVC_STATUS = "`dvc status {0}` works here"
_ON_REMOTE = "`gitdata status --remote` lists what is not on the remote"
_DVC_CHECKOUT = "`gitdata checkout PATH` takes any number of outputs; `dvc checkout {0}` works here"
_DVC_COMMIT = "`gitdata add PATH` stores what is here; `dvc commit {0}` works here"

# By verb ("" for all), then by option.
OPTIONS: Mapping[str, Mapping[str, str]] = {
    "": {
        "-q": "send standard output to /dev/null",
        "--quiet": "send standard output to /dev/null",
        "-v": f"{_LEAVE}: all there is to say is said",
        "--verbose": f"{_LEAVE}: all there is to say is said",
        "--cd": "`gitdata -C DIR COMMAND`",
        "--version": "`gitdata --version`",
    },
    "add": {
        "--no-commit": f"{_LEAVE}: add stores the data in the cache, which `gitdata push` needs",
        "--glob": f"{_LEAVE}: the shell expands * and ?",
        "-o": "`gitdata put SOURCE DEST` copies it to its place and adds it",
        "--out": "`gitdata put SOURCE DEST` copies it to its place and adds it",
        "--to-remote": "`dvc add --to-remote` works here, then `git add` of the pointer",
        "-r": "`dvc add --to-remote -r NAME` works here, then `git add` of the pointer",
        "--remote": "`dvc add --to-remote -r NAME` works here, then `git add` of the pointer",
        "--remote-jobs": "`dvc add --to-remote --remote-jobs N` works here, then `git add` of the pointer",
        "-f": f"{_LEAVE}: add takes what is here",
        "--force": f"{_LEAVE}: add takes what is here",
        "--no-relink": f"{_LEAVE}: add makes links of data only where cache.type says so",
        "-R": "name the files, each becomes data of its own; a folder is added as one",
        "--recursive": "name the files, each becomes data of its own; a folder is added as one",
        "-A": "`gitdata commit` takes all data that changed",
        "--all": "`gitdata commit` takes all data that changed",
        "-u": "`gitdata commit` takes all data that changed",
        "--update": "`gitdata commit` takes all data that changed",
        "-n": "`gitdata status` shows what would be added",
        "--dry-run": "`gitdata status` shows what would be added",
    },
    "checkout": {
        "--summary": f"{_LEAVE}: what changes is printed",
        "-d": _DVC_CHECKOUT.format("--with-deps"),
        "--with-deps": _DVC_CHECKOUT.format("--with-deps"),
        "-R": _DVC_CHECKOUT.format("--recursive"),
        "--recursive": _DVC_CHECKOUT.format("--recursive"),
        "--allow-missing": f"{_LEAVE}: what is missing is named, the rest is brought",
        "-b": "`git switch -c BRANCH`: the data follows",
        "-B": "`git switch -C BRANCH`: the data follows",
        "--": "`gitdata checkout PATH`",
    },
    "commit": {
        "-f": _DVC_COMMIT.format("--force"),
        "--force": _DVC_COMMIT.format("--force"),
        "-d": _DVC_COMMIT.format("--with-deps"),
        "--with-deps": _DVC_COMMIT.format("--with-deps"),
        "-R": _DVC_COMMIT.format("--recursive"),
        "--recursive": _DVC_COMMIT.format("--recursive"),
        "--no-relink": f"{_LEAVE}: commit never touches the data itself",
    },
    "completion": {"-s": "`gitdata completion bash`", "--shell": "`gitdata completion bash`"},
    "diff": {
        "--targets": "`dvc diff --targets PATH` works here",
        "--show-hash": "`gitdata diff --json` has the hashes",
        "--md": "`dvc diff --md` works here",
        "--hide-missing": f"{_LEAVE}: data that is only absent is not listed as deleted",
        "--cached": "`git diff --cached` shows the pointers that are staged",
        "--staged": "`git diff --cached` shows the pointers that are staged",
        "--stat": "`gitdata diff --json` has the sizes",
        "--name-only": "`gitdata diff --json` has the names",
    },
    "get": {
        "--rev": "`gitdata get REV:PATH`",
        "--show-url": "`dvc get --show-url` works here",
        "-j": _LEAVE,
        "--jobs": _LEAVE,
        "--out": "`gitdata get REV:PATH -o DEST`",
        "--config": "`dvc get --config` works here",
        "--remote": "`dvc get --remote NAME` works here",
        "--remote-config": "`dvc get --remote-config` works here",
    },
    "init": {
        "--no-scm": "gitdata needs git: `git init`, then `gitdata init`",
        "-f": f"{_LEAVE}: init does what is missing, and may be run again",
        "--force": f"{_LEAVE}: init does what is missing, and may be run again",
        "--subdir": "run `gitdata init` at the top of the git repository",
        "--bare": "`git init --bare`; a bare repository needs no `gitdata init`",
    },
    "log": {
        "--oneline": "`git log --oneline -- '*.dvc'`",
        "--graph": "`git log --graph -- '*.dvc'`",
        "--all": "`git log --all -- '*.dvc'`",
        "-p": "`gitdata diff A B` shows what a commit changed",
    },
    "ls": {
        "-R": "`gitdata ls -r`",
        "-T": "`gitdata ls -r`",
        "--tree": "`gitdata ls -r`",
        "-L": "`gitdata ls FOLDER`, or `gitdata ls -r`",
        "--level": "`gitdata ls FOLDER`, or `gitdata ls -r`",
        "--dvc-only": "`gitdata ls --json` says of each what it is",
        "--rev": "`gitdata ls REV:PATH`",
        "--size": f"{_LEAVE}: sizes are listed",
        "--show-hash": "`gitdata ls --json` has the hashes",
        "--config": "`dvc ls --config` works here",
        "--remote": "`dvc ls --remote NAME` works here",
        "--remote-config": "`dvc ls --remote-config` works here",
        "-l": f"{_LEAVE}: sizes are listed",
    },
    "pull": {
        "--remote": _DVC_PULL.format("--remote NAME"),
        "--all-branches": _IN_CACHE.format("--all-branches"),
        "-T": _IN_CACHE.format("--all-tags"),
        "--all-tags": _IN_CACHE.format("--all-tags"),
        "-A": _IN_CACHE.format("--all-commits"),
        "--all-commits": _IN_CACHE.format("--all-commits"),
        "-d": _DVC_PULL.format("--with-deps"),
        "--with-deps": _DVC_PULL.format("--with-deps"),
        "-R": _DVC_PULL.format("--recursive"),
        "--recursive": _DVC_PULL.format("--recursive"),
        "--run-cache": "`dvc pull --run-cache` works here",
        "--no-run-cache": _LEAVE,
        "--glob": _DVC_PULL.format("--glob PATTERN"),
        "--allow-missing": f"{_LEAVE}: what is missing is named, the rest is brought",
    },
    "push": {
        "-r": _DVC_PUSH.format("--remote NAME"),
        "--remote": _DVC_PUSH.format("--remote NAME"),
        "-j": _LEAVE,
        "--jobs": _LEAVE,
        "-a": _DVC_PUSH.format("--all-branches"),
        "--all-branches": _DVC_PUSH.format("--all-branches"),
        "-T": _DVC_PUSH.format("--all-tags"),
        "--all-tags": _DVC_PUSH.format("--all-tags"),
        "-A": _DVC_PUSH.format("--all-commits"),
        "--all-commits": _DVC_PUSH.format("--all-commits"),
        "--with-deps": _DVC_PUSH.format("--with-deps"),
        "-R": _DVC_PUSH.format("--recursive"),
        "--recursive": _DVC_PUSH.format("--recursive"),
        "--run-cache": "`dvc push --run-cache` works here",
        "--no-run-cache": _LEAVE,
        "--glob": _DVC_PUSH.format("--glob PATTERN"),
    },
    "mv": {
        "-f": f"{_LEAVE}: mv overwrites nothing; move away what is there",
        "--force": f"{_LEAVE}: mv overwrites nothing; move away what is there",
        "-v": f"{_LEAVE}: what is moved is printed",
        "-n": "`gitdata status` shows what is tracked",
    },
    "put": {
        "-r": f"{_LEAVE}: folders are copied whole",
        "-R": f"{_LEAVE}: folders are copied whole",
        "--recursive": f"{_LEAVE}: folders are copied whole",
        "-f": "`gitdata put FILE FOLDER/`: the file comes first, the place last",
        "-i": "`gitdata put URL… FOLDER/`",
    },
    "rm": {
        "--outs": "`gitdata rm PATH` removes the data, too",
        "-n": "`gitdata status` shows what is tracked",
        "-q": "send standard output to /dev/null",
    },
    "status": {
        "-q": "`gitdata status --exit-code`",
        "--quiet": "`gitdata status --exit-code`",
        "-c": _ON_REMOTE,
        "--cloud": _ON_REMOTE,
        "-r": _DVC_STATUS.format("--cloud --remote NAME"),
        "-a": _DVC_STATUS.format("--cloud --all-branches"),
        "--all-branches": _DVC_STATUS.format("--cloud --all-branches"),
        "-T": _DVC_STATUS.format("--cloud --all-tags"),
        "--all-tags": _DVC_STATUS.format("--cloud --all-tags"),
        "-A": _DVC_STATUS.format("--cloud --all-commits"),
        "--all-commits": _DVC_STATUS.format("--cloud --all-commits"),
        "-d": _DVC_STATUS.format("--with-deps"),
        "--with-deps": _DVC_STATUS.format("--with-deps"),
        "-R": _DVC_STATUS.format("--recursive"),
        "--recursive": _DVC_STATUS.format("--recursive"),
        "-j": _LEAVE,
        "--jobs": _LEAVE,
        "--no-updates": _LEAVE,
        "-s": "`gitdata status --json` for scripts; `git status -s` shows the pointers",
        "--short": "`gitdata status --json` for scripts; `git status -s` shows the pointers",
        "--porcelain": "`gitdata status --json`",
    },
}
