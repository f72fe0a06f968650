# shellcheck shell=bash
# places.bash - ステップの番号から、そのファイルのある場所。09-oci は、09 の続き
# カレントディレクトリは、リポジトリのトップディレクトリ

is_step() {
    [[ $1 == 0[1-9] || $1 == 09-oci ]]
}

step_dir() {
    case $1 in
    09-oci) echo steps/09-*/oci ;;
    *) echo steps/"$1"-* ;;
    esac
}

suite_of() {
    case $1 in
    09-oci) echo tests/oci.bats ;;
    *) echo tests/"$1"-*.bats ;;
    esac
}

# 書き始めるプログラム: 前のステップのものか、書くところを抜いたもの (start.c)
before_of() {
    case $1 in
    01 | 09-oci) echo "$(step_dir "$1")/start.c" ;;
    *) echo steps/"$(printf '%02d' $((10#$1 - 1)))"-*/main.c ;;
    esac
}
