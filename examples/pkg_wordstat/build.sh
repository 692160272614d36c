#!/bin/sh
# Test the package, build it into one runnable file, and run that on a text. A `command` task runs this:
#     {"kind": "command", "argv": ["sh", "build.sh"], "working_dir": ".../examples/pkg_wordstat"}
# Writes only into WORDSTAT_OUT, or into a temporary folder that it removes. PYTHON names the interpreter.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
out=${WORDSTAT_OUT:-}
if [ -z "$out" ]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi
export PYTHONDONTWRITEBYTECODE=1

"$python" -W error -m unittest -v
rm -rf "$out/app"
mkdir -p "$out/app"
cp -R wordstat "$out/app/"
find "$out/app" -name __pycache__ -type d -prune -exec rm -rf {} +
"$python" -m compileall -q "$out/app"
printf 'from wordstat.__main__ import main\nmain()\n' >"$out/app/__main__.py"
"$python" -m zipapp "$out/app" -o "$out/wordstat.pyz" -c
"$python" "$out/wordstat.pyz" sample.txt
