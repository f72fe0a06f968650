#!/bin/sh
# エンジンがランタイムを呼んだコマンドラインを書き残し、step09-oci になる
echo "$*" >>"${CALLS:-/tmp/oci/calls}"
exec "${0%/*}/../../../step09-oci" "$@"
