#!/bin/sh
# Installs what holds our JSON for AWS against tools of others, in a virtual environment of its own; nothing else is touched.
#
#   tests/tools/fetch-aws.sh
#
# Afterwards target/aws-tools/bin has python with botocore, boto3 and moto, and cfn-lint, at the versions of
# tests/tools/aws-requirements.txt. Needs python3 with venv, and PyPI.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
wanted=$here/tests/tools/aws-requirements.txt
out=$here/target/aws-tools
if [ -f "$out/installed.txt" ] && cmp -s "$wanted" "$out/installed.txt"; then
    echo "tools: botocore, moto and cfn-lint are in target/aws-tools"
    exit 0
fi
mkdir -p "$here/target"
rm -rf "$out"
python3 -m venv "$out"
"$out/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$wanted"
cp "$wanted" "$out/installed.txt"
echo "tools: installed botocore, moto and cfn-lint into target/aws-tools"
