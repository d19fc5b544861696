#!/bin/sh
# Writes the packages and the handler of a Lambda function to a folder: build.sh TARGET, in the root of the repository.
set -eu
target=$1
python -m pip install --quiet --target "$target" -c constraints.txt '.[serve]' mangum awslambdaric
cp deploy/lambda/handler.py "$target"
# Lambda is the server, and the model is in the image: neither a server nor downloads from the hub are needed.
for package in uvicorn uvloop httptools hf_xet; do
  test -d "$target/$package"
  rm -r "$target/$package" "$target/$package"-*.dist-info
done
rm -r "$target/bin"
find "$target" -type d -name tests -prune -exec rm -r {} +
