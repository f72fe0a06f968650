#!/usr/bin/env bash
# makefile の「## 」のコメントから、ターゲットの一覧を作る
# 使い方: help.sh MAKEFILE...
set -euo pipefail

# 名前が並んでいれば、最初と最後だけを出す。幅は ASCII だけになるようにして、
# 桁をそろえる (「…」の幅は、端末によって違う)
echo '使い方: make [ターゲット]'
awk '
    # 節の見出しは「# --- 見出し ---」
    /^# --- / {
        title = $0
        gsub(/^# -+ *| *-+$/, "", title)
    }
    /^[^\t#]*:.* ## / {
        targets = substr($0, 1, index($0, ":") - 1)
        count = split(targets, target, " ")
        if (count > 1)
            targets = target[1] " ... " target[count]
        if (title != "")
            printf "\n%s\n", title
        title = ""
        printf "  %-28s %s\n", targets, substr($0, index($0, " ## ") + 4)
    }
' "$@"

cat <<'END'

付けられるもの
  V=1                  実行するコマンドをそのまま見せる: make V=1 step05
  SAN=1                サニタイザー付きで作る、試す: make test SAN=1
  ROOTFS=種類          rootfs を別のもので作り直す: make rootfs ROOTFS=host
                       (busybox, host, debian, image, tar)
END
