# ---- what all hooks share; `gitdata hooks install` puts it into each of them. Nothing here starts Python.

gitdata=@GITDATA@

# The hook that was here before gitdata's. In git's own folder it is kept aside, under its own name; a folder that
# core.hooksPath named is as it was, and gitdata's own folder has taken its place.
place=${0%/*}
outside=@OUTSIDE@
case $place in
*/*) aside=${place%/*}/gitdata-kept-hooks ;;
*) aside=$place/../gitdata-kept-hooks ;;
esac
unset lines # what git wrote to the hook, in those that read it

# Called by the very hook that we call (it keeps ours as its own predecessor): once is enough.
self="$hook in $PWD: $*"
[ "${GITDATA_CHAINED-}" = "$self" ] && exit 0

# Calls the hook that was here, with the same arguments and input.
chain() {
    if { [ -e "$aside/$hook" ] || [ -L "$aside/$hook" ]; } && ! superseded; then
        show_neighbours # before all else: it may be a link to one of them
        call "$aside/$hook" "$@" || return
    fi
    [ -z "$outside" ] || call "$(former_folder)/$hook" "$@"
}

call() {
    called=$1
    shift
    [ -f "$called" ] && [ -x "$called" ] || return 0
    if [ -n "${lines+read}" ]; then
        { [ -z "$lines" ] || printf '%s\n' "$lines"; } | GITDATA_CHAINED=$self "$called" "$@"
    else
        GITDATA_CHAINED=$self "$called" "$@"
    fi
}

# Whether another program moved this hook away and took its place with what we keep, or a newer one of the same program.
superseded() {
    [ "${0##*/}" != "$hook" ] || return 1
    cmp -s "$place/$hook" "$aside/$hook" && return 0
    for writer in @WRITERS@; do
        grep -q "$writer" "$place/$hook" && grep -q "$writer" "$aside/$hook" && return 0
    done
    return 1
}

# A kept hook finds beside it what lies beside it in its own folder: scripts that it reads, what other programs keep there.
show_neighbours() {
    for one in "$place"/* "$place"/.[!.]*; do
        name=${one##*/}
        case $name in
        *.sample | *.gitdata-*) continue ;;
        esac
        case " @NAMES@ " in
        *" $name "*) continue ;; # gitdata's own
        esac
        [ -e "$aside/$name" ] || [ ! -e "$one" ] || ln -s "../hooks/$name" "$aside/$name" 2>/dev/null
    done
}

# The folder that core.hooksPath would name without gitdata: this repository's, the user's or the machine's, else git's own.
former_folder() {
    git config --type=path --get gitdata.hooksPath && return
    folder=$(
        git config --show-scope --type=path --get-all core.hooksPath | while read -r scope path; do
            case $scope in
            global | system) echo "$path" ;;
            esac
        done | tail -n 1
    )
    [ -n "$folder" ] || folder=$(git rev-parse --git-common-dir)/hooks
    echo "$folder"
}

# False in a repository that is not gitdata's (a shared core.hooksPath) and where the user said to skip.
wanted() {
    [ -f .dvc/config ] && [ -z "${GITDATA_SKIP_HOOKS-}" ]
}

state() {
    echo "$(git rev-parse --git-dir)/gitdata"
}

# As `wanted`, and also where git moved to a commit from before `gitdata init`: data that came later leaves.
follows() {
    [ -z "${GITDATA_SKIP_HOOKS-}" ] || return 1
    [ -f .dvc/config ] || { [ -d .dvc ] && [ -f "$(state)/base.json" ]; }
}

# Whether the pointers, of the index or of the working tree, are others than those that the workspace last followed.
pointers_moved() {
    ! { git ls-files -s -- '*.dvc' '*dvc.lock' &&
        GIT_OPTIONAL_LOCKS=0 git diff --no-ext-diff --no-textconv --no-color -- '*.dvc' '*dvc.lock'; } | cmp -s - "$(state)/pointers"
}

# Whether a later hook of the git command that runs will look at the workspace: then this one need not.
goes_on() {
    folder=$(git rev-parse --git-dir)
    [ -z "$(git ls-files --unmerged | head -n 1)" ] || return 1
    for rebase in "$folder/rebase-merge" "$folder/rebase-apply"; do
        [ -d "$rebase" ] || continue
        # What a rebase is given up for, or back at: it ends here.
        git diff --cached --quiet "$(cat "$rebase/orig-head" 2>/dev/null)" -- 2>/dev/null && return 1
        # Where a patch does not apply, `git am` stops without a hook: each patch may be the last.
        [ ! -f "$rebase/applying" ] || return 1
        picks_follow "$rebase"
        return
    done
    [ "$hook" = post-index-change ] || return 1
    case " $(git_command) " in
    *" --abort "* | *" --quit "* | *" --no-commit "* | *" -n "*) return 1 ;;
    esac
    set -f # words of the command are no patterns
    # shellcheck disable=SC2046
    set -- $(git_command)
    set +f
    [ $# -eq 0 ] || shift
    for word; do
        case $word in
        -*) ;;
        checkout | switch | merge | rebase | revert | cherry-pick | am | worktree | clone) return 0 ;;
        *) return 1 ;;
        esac
    done
    return 1
}

# Whether a rebase has commits left to make before it stops.
picks_follow() {
    if [ -f "$1/last" ]; then
        [ "$(cat "$1/next")" -lt "$(cat "$1/last")" ]
        return
    fi
    case $(tail -n 1 "$1/done" 2>/dev/null) in
    "edit "* | "e "*) return 1 ;;
    esac
    while read -r word _; do
        case $word in
        "" | "#"* | drop | d | noop | label | l | update-ref | u) ;;
        exec | x | break | b) return 1 ;;
        *) return 0 ;;
        esac
    done <"$1/git-rebase-todo"
    return 1
}

# How git was called.
git_command() {
    { tr '\0' ' ' <"/proc/$PPID/cmdline" || ps -o args= -p "$PPID"; } 2>/dev/null
}

# Whether data changed since the last scan began. Any doubt, any complaint of find, counts as yes.
data_moved() {
    folder=$(state)
    stamp=.dvc/tmp/gitdata-stamp
    now=.dvc/tmp/gitdata-now
    [ -f "$stamp" ] && [ -f "$folder/outputs" ] && [ -f "$folder/absent" ] || return 0
    (: >"$now") 2>/dev/null || return 0
    [ -z "$(find "$stamp" -newer "$now" -print 2>&1)" ] || return 0
    found=$(
        {
            # -L: what a symlink names is data too (and the whole of it where the cache type is symlink).
            xargs -0 sh -c '[ $# -eq 0 ] || exec find -L "$@" -cnewer "$0" -print' \
                "$stamp" <"$folder/outputs" || echo failed
            xargs -0 sh -c 'for path do
                if [ -e "$path" ] || [ -L "$path" ]; then echo "$path"; fi
                done' sh <"$folder/absent" || echo failed
        } 2>&1 | head -n 1
    )
    [ -n "$found" ]
}

# Runs `gitdata hook NAME …`; git goes on where gitdata is missing.
run_gitdata() {
    [ -x "$gitdata" ] || gitdata=$(command -v gitdata) || gitdata=
    if [ -n "$gitdata" ]; then
        "$gitdata" hook "$hook" "$@"
        code=$?
        case $code in
        126 | 127) ;;
        1) "$gitdata" --version >/dev/null 2>&1 && return 1 ;; # else what is left of an installation
        *) return $code ;;
        esac
    fi
    echo "gitdata is not installed here: $without" >&2
    return 0
}

# ---- end of the shared part
