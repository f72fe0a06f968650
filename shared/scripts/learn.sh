#!/usr/bin/env bash
# 自分で書く人の道具。使い方: learn.sh COMMAND [STEP]
#   start 05   書き始めるプログラムを my/05/main.c に置き、することを示す
#   reset 05   書き始めに戻す。今のものは、控えを残す
#   hint 05    次のヒントを 1 つ
#   answer 05  自分のプログラムと、こちらのプログラムとの違い
#   progress   9 つのステップの進み具合
#   next       今すること
set -euo pipefail

NAME=learn
# shellcheck source-path=SCRIPTDIR source=learn.bash
. "$(dirname "${BASH_SOURCE[0]}")/learn.bash"
HEADER_END='\,^ \*/\r\?$,' # 冒頭のコメントの終わり。sed のアドレス

# --- 始める、やり直す ----------------------------------------------------------
# 前のステップの自分のものが要件を満たしていれば、それを。なければ、こちらのものを。
# 01 と 09-oci は、書くところを抜いたもの (start.c) から
choose_base() {
    local step=$1 previous
    if [[ $(before_of "$step") == */start.c ]]; then
        BASE=$(before_of "$step") ORIGIN="$step の、これから書くところを抜いたもの"
        return
    fi
    previous=$(before "$step")
    BASE=$(ours "$previous") ORIGIN="$previous のプログラム"
    [[ -e my/$previous/main.c ]] || return 0
    if ! is_checked "$previous"; then
        printf '%s\n' "my/$previous/main.c を確かめます"
        "$SCRIPTS/check.sh" "$previous" >/dev/null || true
    fi
    if passes "$previous"; then
        BASE=my/$previous/main.c ORIGIN='自分の書いた my/'"$previous"'/main.c'
    else
        ORIGIN+=" (自分の my/$previous/main.c は、まだ要件をすべては満たしていません)"
    fi
}

# 冒頭のコメントを、このステップのものに替えて書き出す
with_header() {
    local step=$1 base=$2
    sed -n "1,${HEADER_END}p" "$(ours "$step")" | sed -e '/^ \* 作る: .*\\$/{ N; s/\n.*//; }' -e "s|^ \* 作る: .*| * 確かめる: make check$step|" \
        -e "s|^ \* 動かす: sudo \.\./\.\..*| * 動かす: make my/step$step \&\& sudo my/step$step run|" \
        -e "s|\$PWD/step|\$PWD/my/step|"
    if [[ $(head -n 1 "$base") == '/*'?($'\r') ]]; then
        sed "1,${HEADER_END}d" "$base"
    else
        cat "$base"
    fi
}

# main.c を置く。先に別の端末が置いていれば、失敗する
place() {
    local step=$1 temporary
    mkdir -p "my/$step" || fail "mkdir my/$step" 'ディレクトリに書けるかと、ディスクの空きを確かめてください'
    temporary=my/$step/.new.$$
    if ! { with_header "$step" "$BASE" >"$temporary"; } 2>/dev/null; then
        rm -f "$temporary"
        fail "cannot write my/$step" 'ディレクトリに書けるかと、ディスクの空きを確かめてください'
    fi
    # 共有ディレクトリには、ハードリンクを作れないことがある
    if ln "$temporary" "my/$step/main.c" 2>/dev/null; then
        rm -f "$temporary"
    elif ! mv -n "$temporary" "my/$step/main.c" || [[ -e $temporary ]]; then
        rm -f "$temporary"
        return 1
    fi
}

# 手引きの「書いてみる」の、印の間
show_task() {
    printf '\n%s%s %s%s\n' "$BOLD" "$1" "$(title_of "$1")" "$RESET"
    sed -n '/^<!-- start -->$/,/^<!-- \/start -->$/{ /^<!--/d; s/`//g; p; }' "$(guide "$1")" |
        sed '/./,$!d; s/^/  /'
    printf '  手引き: %s\n' "$(guide "$1")"
}

start() {
    local step=$1
    if [[ -e my/$step/main.c ]]; then
        printf '%s\n' "my/$step/main.c は、もうあります (そのままです)"
    else
        choose_base "$step"
        place "$step" || fail "my/$step/main.c exists already" 'もう一度 make しても、書いたものは消えません'
        printf '%s\n' "my/$step/main.c を置きました: $ORIGIN"
    fi
    show_task "$step"
    cat <<END

  書く:     my/$step/main.c
  確かめる: make check$step (保存するたびに確かめるなら make watch$step)
  困ったら: make hint$step
END
}

# 控えの名前は main.c.~1~ から。ln は、あるものを上書きしない
keep_copy() {
    local file=$1 number=1
    COPY=$file.~1~
    until ln "$file" "$COPY" 2>/dev/null; do
        if [[ ! -e $COPY ]]; then
            save "$COPY" <"$file" || fail "cannot keep a copy of $file" 'ディスクの空きを確かめてください'
            return
        fi
        COPY=$file.~$((++number))~
    done
}

reset() {
    local step=$1 file
    file=$(mine "$step")
    require_mine "$step"
    choose_base "$step"
    keep_copy "$file"
    with_header "$step" "$BASE" | save "$file" ||
        fail "cannot write $file" "元のままです。ディスクの空きを確かめてください"
    rm -f "my/$step/.hints" "my/$step/.checked"
    printf '%s\n' "$file を、書き始めに戻しました: $ORIGIN" "今までのものは $COPY にあります"
}

# --- ヒント --------------------------------------------------------------------
# 関数ごとの差分。01 の前は、書き始めるためのもの
item() {
    local from=()
    [[ $(before_of "$1") != */start.c ]] || from=(--from "$(before_of "$1")")
    FN=$2 NO_COLOR=1 "$SCRIPTS/diff.sh" "${from[@]}" "$1"
}

added() {
    sed -n 's/^+//p' <<<"$1"
}

# 1 段目: 何をするところが足りないか。コメントから、man の名前のある文を除いたもの
hint_kind() {
    local text=$1
    added "$text" | awk '
        function without_pages(text,    part, count, at, kept) {
            count = split(text, part, "。")
            for (at = 1; at <= count; at++)
                if (part[at] !~ /[a-z0-9_]\([1-9]/ && part[at] ~ /[^ ]/)
                    kept = kept (kept == "" ? "" : "。") part[at]
            return kept
        }
        # /* から */ までを、つなげて 1 つの文に
        {
            line = $0
            while (match(line, /\/\*/) || inside) {
                if (!inside) { line = substr(line, RSTART + 2); inside = 1 }
                end = index(line, "*/")
                part = end ? substr(line, 1, end - 1) : line
                gsub(/^[ *]+|[ *]+$/, "", part)
                words = words part
                if (!end) break
                inside = 0
                line = substr(line, end + 2)
                if (without_pages(words) != "") print "  ・" without_pages(words)
                words = ""
            }
        }'
}

# 2 段目: 呼び出し、定数、man ページ
hint_names() {
    local step=$1 name=$2 text code calls shared own
    text=$(added "$3")
    code=$(added "$3" | sed 's,/\*.*,,; /^ *\*/d; s/"[^"]*"//g')
    calls=$(grep -oE '\b[a-z_0-9]+\(' <<<"$code" | tr -d '(' | sort -u |
        grep -vxE 'if|for|while|switch|return|sizeof|die|syscall' || true)
    # glibc に関数のないものは、syscall(2) の番号で
    calls+=$(grep -oE '\bSYS_[a-z_0-9]+' <<<"$code" | sort -u | sed 's/^SYS_\(.*\)/\n\1 (syscall で)/' || true)
    shared=$(sed -nE 's/^[a-z_].*[ *]([a-z_0-9]+)\(.*/\1/p' shared/*.h)
    own=$(sed -nE 's/^static .*[ *]([a-z_0-9]+)\(.*/\1/p' "$(ours "$step")")
    name_line 呼び出し "$(grep -vxF -e "$shared" -e "$own" <<<"$calls")"
    name_line '自分で書く関数' "$(grep -xF "$own" <<<"$calls" | grep -vx "$name")"
    name_line 'shared/ の関数' "$(grep -xF "$shared" <<<"$calls")"
    name_line 定数 "$(grep -oE '\b[A-Z]+_[A-Z0-9_]+\b' <<<"$code" | sort -u)"
    name_line 'man ページ' "$(grep -oE '\b[a-zA-Z0-9_]+\([1-9][a-z]*\)' <<<"$text" | sort -u)"
}

name_line() {
    [[ -z $2 ]] || printf '  %s: %s\n' "$1" "${2//$'\n'/ }"
}

# 3 段目: 宣言と、書く場所、呼ぶ場所
hint_place() {
    local step=$1 name=$2 text=$3
    if grep -q "^+static .*\b$name(" <<<"$text"; then
        printf '  宣言:\n'
        added "$text" | sed -n '/^static /,/{/{ s/^/      /; s/ *{$//; p; }' | sed '/^ *$/d'
        printf '  呼ぶところ:\n'
        # 呼ぶ行と、その前後
        item "$step" '' | grep -v '^-' | grep -E -B1 -A1 "^\+ .*\b$name\(" | sed -E '/^--$/d; /^.? *$/d; s/^[+ ]+/      /' || true
    else
        printf '  %s の中の、次の行のあと:\n' "$name"
        awk '/^\+/ { print "      " last; exit } /^ +[^ ]/ { sub(/^ +/, ""); last = $0 }' <<<"$text"
    fi
}

show_level() {
    local step=$1 name=$2 level=$3 text
    text=$(item "$step" "$name") || return
    case $level in
    1)
        printf '何が足りないか\n'
        # コメントのないものは、スライドの説明 (終わりの段落) で
        hint_kind "$text" | grep . ||
            FN=$name "$SCRIPTS/diff.sh" --tour "$step" </dev/null | awk -v RS= 'END { print "  ・" $0 }'
        ;;
    2)
        printf '名前\n'
        hint_names "$step" "$name" "$text" | grep . || printf '  新しい呼び出しはありません\n'
        ;;
    3) printf '書く場所\n' && hint_place "$step" "$name" "$text" ;;
    4) printf '書く行\n' && tail -n +2 <<<"$text" | sed 's/^/  /' ;;
    esac
}

hint() {
    local step=$1 line level name fields seen output
    require_mine "$step"
    if ! is_checked "$step" && ! output=$("$SCRIPTS/check.sh" "$step" 2>&1) && ! is_checked "$step"; then
        # コンパイルできないなら、その理由が今のヒント
        printf '%s\n' "$output"
        return 1
    fi
    if passes "$step"; then
        printf 'すべての要件を満たしています。違いを見るなら make answer%s\n' "$step"
        return
    fi
    seen=$(cat my/"$step"/.hints 2>/dev/null || true)
    while IFS= read -r line; do
        IFS=$'\t' read -r -a fields <<<"$line"
        for name in ${fields[5]-}; do
            level=$(($(grep -c "^$name\$" <<<"$seen" || true) + 1))
            ((level <= 4)) || continue
            printf '%s✗ %s%s\n' "$RED" "${fields[4]}" "$RESET"
            printf '%sヒント %d / 4%s: ' "$BOLD" "$level" "$RESET"
            show_level "$step" "$name" "$level"
            printf '%s\n' ${seen:+"$seen"} "$name" | save_state my/"$step"/.hints
            ((level == 4)) && printf '\n  全体の違いは make answer%s\n' "$step" ||
                printf '\n  次のヒントは、もう一度 make hint%s\n' "$step"
            return
        done
    done < <(results "$step" 'ng|hang|killed')
    printf 'ヒントは、ここまでです。違いは make answer%s で見られます\n' "$step"
}

# --- 違い、進み具合 ------------------------------------------------------------
answer() {
    local step=$1
    require_mine "$step"
    "$SCRIPTS/diff.sh" --from "my/$step/main.c" "$step"
}

state_of() {
    local step=$1
    if [[ ! -e my/$step/main.c ]]; then
        STATE=none
    elif ! is_checked "$step"; then
        STATE=changed
    elif passes "$step"; then
        STATE=passed
    else
        STATE=failed
    fi
}

progress() {
    local step passed all
    for step in 01 02 03 04 05 06 07 08 09 09-oci; do
        state_of "$step"
        # 続きは、始めた人にだけ見せる
        [[ $step$STATE != 09-ocinone ]] || continue
        case $STATE in
        passed) printf '  %s✓%s %s %s\n' "$GREEN" "$RESET" "$step" "$(title_of "$step")" ;;
        failed)
            passed=$(results "$step" ok | wc -l) all=$(results "$step" 'ok|ng|hang|killed|late' | wc -l)
            printf '  %s✗ %s %s: %d / %d%s\n' "$RED" "$step" "$(title_of "$step")" "$passed" "$all" "$RESET"
            ;;
        changed) printf '  ? %s %s: 書いたあと、まだ確かめていません\n' "$step" "$(title_of "$step")" ;;
        none) printf '  %s- %s %s%s\n' "$DIM" "$step" "$(title_of "$step")" "$RESET" ;;
        esac
    done
    echo
    next
}

# 書きかけのうち、最後に触ったもの。なければ、書けたものの次
next() {
    local step file unfinished='' last=00
    for file in $(find my -mindepth 2 -maxdepth 2 -name main.c -printf '%T@ %p\n' 2>/dev/null | sort -rn | cut -d' ' -f2); do
        step=$(basename "$(dirname "$file")")
        is_step "$step" || continue
        state_of "$step"
        if [[ $STATE == passed ]]; then
            last=$(printf '%s\n' "$last" "$step" | sort | tail -n 1)
        elif [[ -z $unfinished ]]; then
            unfinished=$step
        fi
    done
    if [[ -n $unfinished ]]; then
        state_of "$unfinished"
        if [[ $STATE == changed ]]; then
            printf '次は my/%s/main.c を書いて make check%s\n' "$unfinished" "$unfinished"
        else
            printf '次は my/%s/main.c を直して make check%s。困ったら make hint%s\n' "$unfinished" "$unfinished" "$unfinished"
        fi
    elif [[ $last == 09-oci ]]; then
        printf '9 つのステップと続きが、すべて終わりました\n'
    elif [[ $last == 09 ]]; then
        printf '9 つのステップが、すべて終わりました。続き (任意) は make start09-oci\n'
    else
        step=$(after "$last")
        printf '次は make start%s (%s)\n' "$step" "$(title_of "$step")"
    fi
}

command=${1-} step=${2-}
case $command in
start | reset | hint | answer)
    is_step "$step" || fail "no such step: '$step'" "01 から 09 を指定します: make ${command}05" 2
    NAME=$command
    "$command" "$step"
    ;;
progress | next) "$command" ;;
*) fail "unknown command: '$command'" 'make help に一覧があります' 2 ;;
esac
