# shellcheck shell=bash
# learn.bash - 自分で書く人のターゲット (check.sh, learn.sh) が読み込む
#
# 受講者のものは、すべて my/ にある。
#   my/05/main.c       書いているプログラム
#   my/05/main.c.~1~   やり直したときの控え (番号は増えていく)
#   my/05/.checked     最後に調べた結果: 1 行目は調べたものの印、残りは judge.sh の result の行
#   my/05/.hints       見せたヒント: 1 行に、項目と段
#   my/step05          作ったもの

# shellcheck source-path=SCRIPTDIR source=environment.bash
. "$(dirname "${BASH_SOURCE[0]}")/environment.bash"
# shellcheck source-path=SCRIPTDIR source=places.bash
. "$(dirname "${BASH_SOURCE[0]}")/places.bash"
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
SCRIPTS=shared/scripts
# make から始めても、作るときの make は 1 つ目の make として動く
unset MAKEFLAGS MFLAGS MAKELEVEL

GREEN='' RED='' DIM='' BOLD='' RESET=''
if [[ -t 1 && -z ${NO_COLOR-} && ${TERM-dumb} != dumb ]]; then
    GREEN=$'\e[32m' RED=$'\e[31m' DIM=$'\e[2m' BOLD=$'\e[1m' RESET=$'\e[m'
fi

fail() {
    printf '%s: %s\n  ヒント: %s\n' "$NAME" "$1" "$2" >&2
    exit "${3:-1}"
}

mine() {
    echo "my/$1/main.c"
}

ours() {
    echo "$(step_dir "$1")/main.c"
}

guide() {
    echo "$(step_dir "$1")/README.ja.md"
}

# 冒頭のコメントの 2 行目が、ステップの題
title_of() {
    sed -n '2s/^ \* //p' "$(ours "$1")"
}

before() {
    printf '%02d' $((10#$1 - 1))
}

# 09 の次は、続きの 09-oci
after() {
    if [[ $1 == 09 ]]; then
        echo 09-oci
    else
        printf '%02d' $((10#$1 + 1))
    fi
}

require_mine() {
    [[ -e $(mine "$1") ]] || fail "no such file: $(mine "$1")" "make start$1 で始めます"
}

# 調べたものの印。プログラムか要件が変わると、変わる
stamp() {
    cat "$(mine "$1")" "$(suite_of "$1")" | cksum
}

# sudo make でも、my/ にあるものは、そこの所有者のものにする
own() {
    ((EUID != 0)) || chown --reference="$(dirname "$1")" "$1"
}

# 途中まで書かれたファイルを残さない。書けなければ (ディスクの空きがないなど) 失敗する
save() {
    local file=$1 temporary
    temporary=$(mktemp "$(dirname "$file")/.new.XXXXXX") || return
    if cat >"$temporary" && chmod 644 "$temporary" && own "$temporary" && mv "$temporary" "$file"; then
        return
    fi
    rm -f "$temporary"
    return 1
}

# 状態を書けなくても、することは終えてある
save_state() {
    save "$1" 2>/dev/null || printf '  %s\n' "$1 を書けませんでした (ディスクの空きを確かめてください)" >&2
}

# --- 調べた結果 ----------------------------------------------------------------
# 今のプログラムの結果なら 0
is_checked() {
    [[ -e my/$1/.checked && $(head -n 1 "my/$1/.checked") == "$(stamp "$1")" ]]
}

# 結果のうち、その種類の行: results 05 'ok'
results() {
    awk -F'\t' -v wanted="^($2)\$" 'NR > 1 && $3 ~ wanted' "my/$1/.checked"
}

passes() {
    is_checked "$1" && [[ -z $(results "$1" 'ng|hang|killed|late') ]]
}

# --- 作る ----------------------------------------------------------------------
# my/step05 を作り、調べるためのコピーを PROGRAM に。失敗したら、初めのエラーと、その理由を見せる
build() {
    local step=$1 messages status=0
    require_mine "$step"
    [[ -n ${COPIES-} ]] || { COPIES=$(mktemp -d) && trap 'rm -rf "$COPIES"' EXIT; }
    # 2 つの端末で、同時に作らない。共有ディレクトリでは、保存しても時刻の変わらないことが
    # あるので、いつも作り直す (-W)
    # shellcheck disable=SC2016 # 展開するのは、内側の sh
    messages=$(flock my sh -c '"$1" --no-print-directory -s -W "my/$2/main.c" "my/step$2" &&
        cp "my/step$2" "$3"' sh "${MAKE:-make}" "$step" "$COPIES" 2>&1) || status=$?
    messages=${messages//"$PWD"\//}
    if ((status)); then
        explain_compile "$step" "$messages"
        return 1
    fi
    # shellcheck disable=SC2034 # check.sh が使う
    PROGRAM=$COPIES/step$step
    explain_warnings "$messages"
}

# gcc と tcc の文から、理由と次の一手: パターンと、その文 (\1 は、かっこの中)
compile_hints() {
    cat <<'END'
implicit declaration of function .([a-z0-9_]+)	\1 の宣言がありません。名前の綴りと、#include を確かめてください (man \1 の SYNOPSIS)
.([A-Z][A-Z0-9_]+). undeclared	定数 \1 の宣言がありません。名前の綴りと、#include を確かめてください (man ページの SYNOPSIS)
.([a-z0-9_]+). undeclared	\1 という名前の変数は、まだありません。宣言したか、綴りが合っているかを確かめてください
expected .;. before|.;. expected	前の行の終わりに ; がありません
expected .}. at end of input|expected declaration or statement at end of input|.}. expected	{ と } の数が合っていません
too (few|many) arguments to function .([a-z0-9_]+)	引数の数が違います。man ページか shared/ct.h で、宣言を確かめてください
undefined (reference to|symbol) .([a-z0-9_]+)	\2 の中身がありません。関数を書いたか、綴りが合っているかを確かめてください
storage size of|incomplete type	構造体の宣言がありません。man ページの SYNOPSIS にある #include を足してください
conflicting types for .([a-z0-9_]+)	\1 の宣言が 2 つあり、型が違います
redefinition of .([a-z0-9_]+)	\1 が 2 回書いてあります
defined but not used	書いた関数が、まだ呼ばれていません
unused (variable|parameter) .([a-z0-9_]+)	\2 を、まだ使っていません
No such file or directory|include file .* not found	そのヘッダーがありません。綴りを確かめてください (足りないパッケージは make setup で入ります)
END
}

# 1 行に合うヒント
hint_for() {
    local pattern text
    while IFS=$'\t' read -r pattern text; do
        [[ $1 =~ $pattern ]] || continue
        text=${text//\\1/${BASH_REMATCH[1]-}}
        printf '  ヒント: %s\n' "${text//\\2/${BASH_REMATCH[2]-}}"
        return
    done < <(compile_hints)
}

# 初めのエラーの行と、その下にある gcc の図まで
explain_compile() {
    local step=$1 messages=$2 first count
    first=$(awk '/(error|undefined reference)/ && !shown { shown = 1; print; next }
        shown && /^ +[0-9]* *\|/ { print; next }
        shown { exit }' <<<"$messages")
    # コンパイラーの前で止まった (ヘッダーがない、書けないなど)
    [[ -n $first ]] || first=$(grep -v '^make\b.*\*\*\*' <<<"$messages" | head -n 10)
    count=$(grep -c 'error:' <<<"$messages" || true)
    printf '%s✗ my/%s/main.c をコンパイルできません%s\n\n%s\n' "$RED" "$step" "$RESET" "$first"
    [[ $first == *'ヒント'* ]] || hint_for "$first"
    ((count < 2)) || printf '  %sエラーはあと %d 個あります。初めのものを直すと、消えることがあります%s\n' \
        "$DIM" "$((count - 1))" "$RESET"
}

# 警告は、行と理由だけ
explain_warnings() {
    local line
    while IFS= read -r line; do
        [[ $line == *' warning: '* ]] || continue
        printf '  %s警告: %s%s\n' "$DIM" "${line%% \[-W*}" "$RESET"
        hint_for "$line"
    done <<<"$1"
}

# --- 調べる --------------------------------------------------------------------
# 調べるほうを始める。パスワードを聞かれるのは、ここだけ
start_judge() {
    local as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail 'must be root, and sudo is not installed' \
            'root で動かすか、sudo を入れてください'
        as_root=(sudo)
    fi
    # coproc は INT を無視させるので、元に戻す
    coproc JUDGE { exec env --default-signal "${as_root[@]}" "$SCRIPTS/judge.sh"; }
}

# 次の 1 行を LINE に。0.3 秒来なければ 128 を超える値、終わりなら 1 を返す。時間が来るのは
# 行の途中のこともあるので、そこまでを残しておく
PARTIAL=
receive() {
    local part status=0
    IFS= read -r -t 0.3 part <&"${JUDGE[0]}" || status=$?
    PARTIAL+=$part
    ((status == 0)) || return "$status"
    LINE=$PARTIAL PARTIAL=
}

# 依頼を出し、結果を見せ、RESULTS に残す: ask STEP PROGRAM SHOWN
# 途中で superseded が真になれば、2 を返す
ask() {
    local value fields status
    SHOWN=$3 RESULTS=() DETAILS=() PASSED=0 FAILED=0 UNKNOWN=0
    printf '%s\t%s\t%s\n' "$1" "$(realpath "$2")" "$3" >&"${JUDGE[1]}"
    while :; do
        status=0
        receive || status=$?
        if ((status > 128)); then
            ! superseded || return 2
            continue
        fi
        ((status == 0)) || fail 'the judge ended early' \
            '調べるには sudo (root) が要ります。上のメッセージを見てください'
        value=${LINE#*$'\t'}
        case ${LINE%%$'\t'*} in
        result)
            RESULTS+=("$LINE")
            IFS=$'\t' read -r -a fields <<<"$value"
            show_result "${fields[1]}" "${fields[3]}"
            ;;
        detail) DETAILS+=("$value") ;;
        error) fail "$value" 'make setup で、足りないパッケージを入れてください' ;;
        end) break ;;
        esac
    done
    ((FAILED + UNKNOWN == 0))
}

superseded() { false; }

# 取り下げた依頼の、終わりまで読み捨てる
drain() {
    local status
    LINE=
    until [[ $LINE == end ]]; do
        status=0
        receive || status=$?
        ((status == 0 || status > 128)) || return 0
    done
}

show_result() {
    case $1 in
    ok) ((++PASSED)) && printf '  %s✓%s %s\n' "$GREEN" "$RESET" "$2" ;;
    skip) printf '  %s- %s (このマシンでは調べられません)%s\n' "$DIM" "$2" "$RESET" ;;
    late) ((++UNKNOWN)) ;;
    *) ((++FAILED)) && printf '  %s✗ %s%s\n' "$RED" "$2" "$RESET" ;;
    esac
}

remember() {
    local file=my/$1/.checked
    printf '%s\n' "$2" "${RESULTS[@]}" | save_state "$file"
}

# DETAILS のうち、その名前のもの
details() {
    local line
    for line in "${DETAILS[@]}"; do
        [[ $line != "$1"$'\t'* ]] || printf '%s\n' "${line#*$'\t'}"
    done
}

# 長いものは、終わりを略す
some_lines() {
    local count
    mapfile -t lines
    count=${#lines[@]}
    ((count <= 12)) || lines=("${lines[@]:0:10}" "… (あと $((count - 10)) 行)")
    printf '      %s\n' "${lines[@]}"
}

# 期待と結果。何行もあれば、違う行だけ
compared() {
    local line sign wanted got
    while IFS= read -r line; do
        case $line in
        status*) printf '  %s期待:%s 終了ステータス %s\n' "$BOLD" "$RESET" "${line#*$'\t'}" ;;
        claim*) printf '  %s確かめたこと:%s %s\n' "$BOLD" "$RESET" "${line#*$'\t'}" ;;
        compare*)
            line=${line#compare$'\t'}
            sign=${line%%$'\t'*} line=${line#*$'\t'}
            wanted=${line%%$'\t'*} got=${line#*$'\t'}
            case $sign in
            =) sign='' ;;
            !=) sign='次と違うもの: ' ;;
            *) sign="($sign) " ;;
            esac
            if [[ $wanted$got == *␤* ]]; then
                only_in 期待 "$wanted" "$got"
                only_in 結果 "$got" "$wanted"
            else
                printf '  %s期待:%s %s%s\n' "$BOLD" "$RESET" "$sign" "${wanted:-(空)}"
                printf '  %s結果:%s %s\n' "$BOLD" "$RESET" "${got:-(空)}"
            fi
            ;;
        esac
    done
}

# 片方だけにある行: only_in TITLE THIS OTHER
only_in() {
    local lines
    lines=$(grep -vxF -e "${3//␤/$'\n'}" <<<"${2//␤/$'\n'}") || lines='(ありません)'
    printf '  %s%sだけにある行:%s\n' "$BOLD" "$1" "$RESET"
    some_lines <<<"$lines"
}

# 初めの失敗を、くわしく
explain_failure() {
    local step=$1 number command status text line result fields
    number=$(details number)
    for result in "${RESULTS[@]}"; do
        IFS=$'\t' read -r -a fields <<<"$result"
        [[ ${fields[1]} != "$number" ]] || break
    done
    line=$(details failure | sed -n 's/^line\t//p')
    printf '\n%s✗ %s%s\n' "$RED$BOLD" "${fields[4]}" "$RESET"
    command=$(details command)
    # プログラムの名前のない行は、テストの都合
    [[ $command != *"$SHOWN"* ]] || printf '  %s動かしたもの:%s %s\n' "$BOLD" "$RESET" "$command"
    case ${fields[2]} in
    hang) printf '  %s結果:%s %s 秒待っても終わりませんでした\n' "$BOLD" "$RESET" "$((fields[3] / 1000))" ;;
    killed) printf '  %s結果:%s ホストのほかのプロセスまで終わらせました\n' "$BOLD" "$RESET" ;;
    esac
    details failure | compared
    status=$(details status)
    text=$(details output)
    # シェルの出す、終わらせたという知らせは、テストの都合
    [[ -n $text ]] || text=$(details messages | grep -vE '(bash|bats): line [0-9]+: +[0-9]+ ' || true)
    if [[ -n $text ]]; then
        printf '  %s出力%s%s\n' "$BOLD" "${status:+ (終了ステータス $status)}:" "$RESET"
        some_lines <<<"$text"
    elif [[ -n $status ]]; then
        printf '  %s終了ステータス:%s %s。出力はありません\n' "$BOLD" "$RESET" "$status"
    fi
    show_hand
    [[ ${fields[6]:--} == - ]] ||
        printf '  %s読む所:%s %s の「%s」\n' "$BOLD" "$RESET" "$(guide "$step")" "${fields[6]}"
    printf '  %sテスト:%s %s:%s\n' "$DIM" "$RESET" "$(suite_of "$step")" "${line:-?}"
}

# 手で見るコマンド。2 つ目の端末で打つものには、印を付ける
show_hand() {
    local line
    [[ -n $(details hand) ]] || return 0
    printf '  %s手で見る:%s\n' "$BOLD" "$RESET"
    while IFS= read -r line; do
        case $line in
        ': '*) printf '      $ %s\n' "${line#: }" ;;
        ' 2: '*) printf '      2$ %s\n' "${line# 2: }" ;;
        esac
    done < <(details hand)
}
