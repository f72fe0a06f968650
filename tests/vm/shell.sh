#!/usr/bin/env bash
# shell.sh: 捨てられる練習用の Debian を起動して、シェルを渡す。
#
# 教材に要る物は入れてあるので、すぐ make step05 から始められる。
# リポジトリは ~/repo に「写し」で入る（コミット前の変更も）。共有（9p など）に
# しないのは、壊してよい場所にするため。それに共有の上では、持ち主の変更などが
# ホストの権限に引きずられ、教材と違う結果になる。
# 中で変えた物は exit と同時に全部消える。残したい変更は、その前に別の端末で
#   shell.sh が表示する命令（git diff を取り出す）で持ち出す。
#
# 環境変数: SUITE=trixie|bookworm  VM_ACCEL=tcg|kvm  VM_CPUS  VM_MEMORY
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

suite=${SUITE:-trixie}
terminal=

# shellcheck disable=SC2317 # trap から呼ばれる
finish() {
    local status=$?
    trap - EXIT
    # 仮想マシンごと落ちると、ssh は端末を生のままにして終わることがある。
    [ -z "$terminal" ] || stty "$terminal" 2>/dev/null || true
    if [ "$status" -ne 0 ] && [ -n "$VM_RUN" ] && [ -z "${entered-}" ]; then
        tail -n 15 "$VM_RUN/console.log" >&2 2>/dev/null || true
    fi
    vm_stop
    [ -z "$VM_RUN" ] || rm -rf "$VM_RUN"
    exit "$status"
}

vm_check_suite "$suite"
vm_need qemu-system-x86_64 ssh git setpriv setsid timeout
# 人が使うあいだの上限は設けない（約 3 年）。起動までは vm_wait が縛る。
vm_set_deadline 100000000
vm_accel_args
[ ! -t 0 ] || terminal=$(stty -g)

image=$(VM_TIMEOUT=3600 "$vm_here/image.sh" "$suite")
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
vm_work_dir
vm_note "booting Debian $suite (half a minute or so)"
vm_start "$image" "$image/prepared.img"
vm_clone "$VM_RUN/repo"
vm_overlay "$VM_RUN/repo"
vm_wait
vm_send "$VM_RUN/repo"
rm -rf "$VM_RUN/repo"

if [ -t 0 ]; then
    printf '%s\n' \
        "ここは捨てられる練習機です。exit で終わり、変更はすべて消えます。" \
        "変更を持ち出すには、終わる前に別の端末で:" \
        "  ssh -o ControlPath=$VM_RUN/ssh x git -C repo diff >練習.patch" >&2
    tty=(-tt)
else
    # 端末がなければ、標準入力の命令を実行して終わる（試験や自動化から）。
    tty=(-T)
fi
entered=1
status=0
# shellcheck disable=SC2016 # 展開するのはゲスト
ssh "${VM_SSH[@]}" "${tty[@]}" "$vm_user@127.0.0.1" \
    'cd repo && exec "${SHELL:-/bin/bash}" -l' || status=$?
# 人が最後に打った命令の失敗で、make vm まで「エラー」と言わせない。
# 255 は接続の失敗なので、そのまま返す。
[ ! -t 0 ] || [ "$status" -eq 255 ] || status=0
exit "$status"
