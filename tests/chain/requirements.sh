#!/usr/bin/env bash
# どのテストにも、make check の見せる要件があるか: requirements.sh [FILE...]
# 要件の書き方は CONTRIBUTING.ja.md にある。誤りを「FILE:行: 何が違うか」で書き、1 で終わる。
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=../../shared/scripts/environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../shared/scripts/environment.bash"
# shellcheck source-path=SCRIPTDIR source=../../shared/scripts/places.bash
. "$(dirname "${BASH_SOURCE[0]}")/../../shared/scripts/places.bash"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# 項目の名前: diff.sh に、ない名前を聞くと答える
items_of() {
    local from=()
    [[ $(before_of "$1") != */start.c ]] || from=(--from "$(before_of "$1")")
    FN=no-such-item shared/scripts/diff.sh "${from[@]}" "$1" 2>&1 | sed -n 's/.*変わったのは: //p'
}

check() {
    local file=$1 step
    step=$(basename "$file" | cut -c1-2)
    [[ $step != oc ]] || step=09-oci
    # 手引きの見出しから、分を除いたもの
    sed -nE 's/^##+ //p' "$(step_dir "$step")"/README.ja.md | sed -E 's/ \([0-9]+ 分\)$//; s/`//g' |
        awk -v file="$file" -v items=", $(items_of "$step")," '
        function fault(what) { printf "%s:%d: %s\n", file, FNR, what; bad = 1 }
        NR == FNR { heading[$0] = 1; next }
        /^# 要件なし: ./ { none = 1 }
        /^# 手で( 2)?: ./ { hand = 1 }
        /^# 手引き: / {
            place = $0
            sub(/^# 手引き: /, "", place)
            if (!(place in heading)) fault("no such heading in the guide: " place)
        }
        /^# 項目: / {
            count = split($0, name, " ")
            for (at = 3; at <= count; at++)
                if (index(items, " " name[at] ",") == 0) fault("no such item in the diff: " name[at])
            item = count > 2
        }
        /^# 要件: / {
            wish = $0
            sub(/^# 要件: /, "", wish)
            if (wish in seen) fault("the same requirement as in line " seen[wish])
            seen[wish] = FNR
        }
        /^@test / {
            if (!none && wish == "") fault("a test without # 要件: (or # 要件なし: with the reason)")
            if (!none && wish != "" && !(hand && place != "" && item))
                fault("a requirement without # 手で:, # 手引き: or # 項目:")
            wish = place = ""
            none = hand = item = 0
        }
        END { exit bad }' - "$file"
}

(($#)) || set -- tests/0?-*.bats tests/oci.bats
status=0
for file; do
    check "$file" || status=1
done
((status == 0)) || echo '  ヒント: 書き方は CONTRIBUTING.ja.md の「テストを足す」にあります' >&2
exit "$status"
