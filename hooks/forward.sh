#!/bin/sh
# gitdata-hook 2
# gitdata does nothing here: calls the hook of this name in the folder that core.hooksPath named.
hook=@HOOK@
# @PRELUDE@

chain "$@"
