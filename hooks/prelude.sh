# ---- what all hooks share; `gitdata hooks install` puts it into each of them. Nothing here starts Python.

gitdata=@GITDATA@

# The hook that was here before gitdata's is kept beside it and called with the same arguments and input.
chained=${0%/*}/$hook.gitdata-chained

# Called by the very hook that we call (it keeps ours as its own predecessor): once is enough.
[ "${GITDATA_CHAINED-}" = "$hook" ] && exit 0

chain() {
    [ -x "$chained" ] || return 0
    GITDATA_CHAINED=$hook "$chained" "$@"
}

# False in a repository that is not gitdata's (a shared core.hooksPath) and where the user said to skip.
wanted() {
    [ -f .dvc/config ] && [ -z "${GITDATA_SKIP_HOOKS-}" ]
}

state() {
    echo "$(git rev-parse --git-dir)/gitdata"
}

# Whether the pointers of the index are others than at the last scan.
pointers_moved() {
    ! git ls-files -s -- '*.dvc' | cmp -s - "$(state)/pointers"
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
        [ $code -eq 126 ] || [ $code -eq 127 ] || return $code
    fi
    echo "gitdata is not installed here: $without" >&2
    return 0
}

# ---- end of the shared part
