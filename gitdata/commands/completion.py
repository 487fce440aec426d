"""Print the completion of a shell, made from the table of verbs and from each verb's own options.

    gitdata completion bash > ~/.local/share/bash-completion/completions/gitdata
    gitdata completion zsh  > "${fpath[1]}/_gitdata"
    gitdata completion fish > ~/.config/fish/completions/gitdata.fish

It completes `git data` too: git's own completion asks for the function that these scripts define. What is
printed is static; completing starts no Python. Other arguments complete as file names.
"""

from __future__ import annotations

import argparse
import importlib

from gitdata.commands.terminal import print_text
from gitdata.commands.verbs import VERBS

SHELLS = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="the shell to print the completion for")


def run(args: argparse.Namespace) -> int:
    print_text({"bash": bash, "zsh": zsh, "fish": fish}[args.shell]())
    return 0


def visible() -> dict[str, str]:
    """The verbs that a person types, with their line of help."""
    return {verb: text for verb, text, heading in VERBS if heading}


def first_words() -> list[str]:
    """What may follow ``gitdata``, in the table's order."""
    return list(dict.fromkeys(verb.split(" ")[0] for verb in visible()))


def groups() -> dict[str, list[str]]:
    """First word -> second words, for verbs of two words."""
    found: dict[str, list[str]] = {}
    for verb in visible():
        first, _, second = verb.partition(" ")
        if second:
            found.setdefault(first, []).append(second)
    return found


def options(verb: str) -> list[str]:
    """The long options of a verb and what it takes only from a list, asked of its own parser."""
    module = importlib.import_module("gitdata.commands." + verb.replace(" ", "_").replace("-", "_"))
    parser = argparse.ArgumentParser(add_help=True)
    module.configure(parser)
    found: list[str] = []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        found += [word for word in action.option_strings if word.startswith("--")]
        if not action.option_strings and action.choices:
            found += [str(choice) for choice in action.choices]
    return sorted(found)


def bash() -> str:
    seconds = "".join(f"        {first}) words='{' '.join(rest)}' ;;\n" for first, rest in groups().items())
    after = "".join(f"            '{verb}') words='{' '.join(options(verb))}' ;;\n" for verb in visible())
    return f"""\
# bash completion of gitdata and `git data`; made by `gitdata completion bash`

_gitdata_reply() {{ # $1: where the word after the command stands
    local at=$1 cur=${{COMP_WORDS[COMP_CWORD]}} words='' verb
    while [ "${{COMP_WORDS[at]-}}" = -C ] && [ "$COMP_CWORD" -gt $((at + 1)) ]; do at=$((at + 2)); done
    verb=${{COMP_WORDS[at]-}}
    if [ "$COMP_CWORD" -le "$at" ]; then
        words='{" ".join(first_words())} --help --version -C'
    elif [ "$COMP_CWORD" -eq $((at + 1)) ]; then
        case $verb in
{seconds}        esac
    fi
    if [ "$COMP_CWORD" -gt "$at" ] && [ -z "$words" ]; then
        case $verb in
            {"|".join(groups())}) verb="$verb ${{COMP_WORDS[at + 1]}}" ;;
        esac
        case $verb in
{after}        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}

_gitdata() {{
    _gitdata_reply 1
}}

_git_data() {{ # called by git's own completion
    local i
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [ "${{COMP_WORDS[i]}}" = data ]; then
            _gitdata_reply $((i + 1))
            return
        fi
    done
}}

complete -o bashdefault -o default -F _gitdata gitdata
"""


def zsh() -> str:
    texts = visible()
    heads = {word: texts.get(word) or ", ".join(groups()[word]) for word in first_words()}
    commands = "".join(f"        {_quoted(f'{word}:{text}')}\n" for word, text in heads.items())
    seconds = ""
    for first, rest in groups().items():
        described = " ".join(_quoted(f"{word}:{texts[f'{first} {word}']}") for word in rest)
        seconds += f"            {first}) choices=({described}) ;;\n"
    after = "".join(f"        {_quoted(verb)}) choices=({' '.join(options(verb))}) ;;\n" for verb in texts)
    return f"""\
#compdef gitdata git-data
# zsh completion of gitdata and `git data`; made by `gitdata completion zsh`

_gitdata() {{
    local -a choices
    local at=2 verb
    while [[ $words[at] == -C && CURRENT -gt at+1 ]]; do (( at += 2 )); done
    if (( CURRENT <= at )); then
        choices=(
{commands}        )
        _describe -t commands 'gitdata command' choices
        return
    fi
    verb=$words[at]
    if (( CURRENT == at + 1 )); then
        case $verb in
{seconds}        esac
        if (( $#choices )); then
            _describe -t commands "gitdata $verb" choices
            return
        fi
    fi
    case $verb in
        {"|".join(groups())}) verb="$verb $words[at+1]" ;;
    esac
    case $verb in
{after}    esac
    (( $#choices )) && compadd -- $choices
    _files
}}

_git-data() {{ # called by git's own completion
    _gitdata "$@"
}}

if [[ $funcstack[1] == _gitdata ]]; then _gitdata "$@"; else compdef _gitdata gitdata git-data; fi
"""


def fish() -> str:
    lines = [
        "# fish completion of gitdata and `git data`; made by `gitdata completion fish`",
        "function __gitdata_at # the words after the command are exactly these",
        "    set -l words (commandline -opc)",
        "    if test \"$words[1]\" = git",
        "        test \"$words[2]\" = data; or return 1",
        "        set -e words[1]",
        "    end",
        "    set -e words[1]",
        "    test (count $words) -ge (count $argv); or return 1",
        "    for i in (seq (count $argv))",
        "        test \"$words[$i]\" = \"$argv[$i]\"; or return 1",
        "    end",
        "    return 0",
        "end",
        "function __gitdata_exactly",
        "    set -l words (commandline -opc)",
        "    test \"$words[1]\" = git; and set -e words[1]",
        "    test (count $words) -eq (math (count $argv) + 1); and __gitdata_at $argv",
        "end",
        "complete -c git -n __fish_git_needs_command -a data -d 'version data, run stages'",
    ]  # fmt: skip
    for command in ("gitdata", "git"):
        start = f"complete -c {command} -f -n"
        for word in first_words():
            text = visible().get(word) or ", ".join(groups()[word])
            lines.append(f"{start} '__gitdata_exactly' -a {word} -d {_quoted(text)}")
        for first, rest in groups().items():
            for second in rest:
                text = visible()[f"{first} {second}"]
                lines.append(f"{start} '__gitdata_exactly {first}' -a {second} -d {_quoted(text)}")
        for verb in visible():
            for word in options(verb):
                kind = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
                lines.append(f"complete -c {command} -n '__gitdata_at {verb}' {kind}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A word in single quotes, for any of the three shells; quotes and backslashes in it are dropped."""
    return "'" + text.replace("'", "").replace("\\", "") + "'"
