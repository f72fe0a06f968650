#!/bin/sh
# 受講者が送ってきた doctor の行をまとめる: class.sh FILE
# チャットから貼ったままでよい。行の前の名前や引用の印、CR、折り返しがあってもよく、
# 同じマシンの行は、最後のものだけを数える。
set -u

if [ ! -r "${1-}" ]; then
    echo "class.sh: cannot read ${1:-a file}" >&2
    echo '  ヒント: make class FILE=lines.txt (doctor の終わりの 1 行を集めたもの)' >&2
    exit 1
fi
export LC_ALL=C
{
    sh "$(dirname "$0")/doctor.sh" --reasons
    echo '--lines'
    # 終わりに改行がなくてもよい
    cat -- "$1" && echo
} | awk '
    BEGIN { FS = "\t" }
    !reading && $0 == "--lines" { reading = 1; next }
    !reading { what[$1] = $2; todo[$1] = $3; next }
    { take($0) }
    END { flush(); report() }

    # 引用の印と CR を除き、途中で折り返された行は、end までつなぐ
    function take(line,    at) {
        number++
        gsub(/\r/, "", line)
        gsub(/\302\240|\343\200\200/, " ", line)
        sub(/^[ \t]*(>[ \t]*)+/, "", line)
        at = match(line, /(^|[^a-z0-9])ct1 [a-z]/)
        if (at) {
            flush()
            if (substr(line, at, 1) != "c") at++
            name = substr(line, 1, at - 1)
            text = substr(line, at)
            first = number
        } else if (text != "" && number - first <= 5) {
            text = text " " line
        } else {
            flush()
            if (line !~ /^[ \t]*$/) strange(number, line)
            return
        }
        if (text ~ / end([^a-z0-9]|$)/) flush()
    }

    function strange(at, line) {
        if (length(line) > 60) line = cut(line, 60) "..."
        unknown[++unknowns] = "  " at " 行目: " line
    }

    # UTF-8 の文字の途中では切らない
    function cut(line, width) {
        line = substr(line, 1, width)
        while (line ~ /[\200-\277]$/) line = substr(line, 1, length(line) - 1)
        sub(/[\300-\377]$/, "", line)
        return line
    }

    function flush(    count, word, i, key, at, bad) {
        if (text == "") return
        delete field
        count = split(text, word, /[ \t]+/)
        for (i = 5; i <= count && word[i] !~ /^end/; i++) {
            at = index(word[i], "=")
            if (at > 1) field[substr(word[i], 1, at - 1)] = substr(word[i], at + 1)
        }
        bad = i > count || field["id"] !~ /^[0-9a-f]+$/
        bad = bad || !digits(field["steps"]) || !digits(field["setup"]) || !digits(field["part"])
        if (bad) strange(first, name text)
        else keep(field["id"], word)
        text = ""
    }

    function digits(value) {
        return value == "-" || value ~ /^[1-9]+$/
    }

    function keep(id, word,    n, key) {
        if (id in seen) repeated++
        else order[++people] = id
        seen[id] = 1
        # チャットが付けた時刻や記号は、名前ではない
        gsub(/\[?[0-9]+:[0-9]+(:[0-9]+)?( ?[AP]M)?\]?/, "", name)
        gsub(/^[-[:space:]*|`:<]+|[-[:space:]*|`:>]+$/, "", name)
        if (name == "") name = who[id] == "" ? first " 行目" : who[id]
        who[id] = name
        machine[id] = word[2] ", in=" field["in"] ", sudo=" field["sudo"]
        for (key in field) value[id, key] = field[key]
    }

    # ステップの結果: ok setup part no。maybe は、足して数える
    function state(id, n) {
        if (index(value[id, "steps"], n)) return "ok"
        if (index(value[id, "setup"], n)) return "setup"
        if (index(value[id, "part"], n)) return "part"
        return "no"
    }

    function add(list, item) {
        return list == "" ? item : list "、" item
    }

    function report(    n, i, id, s, c, pairs, pair, j, k, keys, packs, steps) {
        printf "%d 人 (同じマシンの行 %d、読めない行 %d)\n\n", people, repeated, unknowns
        print "ステップ   動く  入れれば動く  一部だけ動く  動かない"
        for (n = 1; n <= 9; n++) {
            c["ok"] = c["setup"] = c["part"] = c["no"] = guess = 0
            for (i = 1; i <= people; i++) {
                c[state(order[i], n)]++
                if (index(value[order[i], "maybe"], n)) guess++
            }
            printf "  0%d    %4d/%d  %9d  %12d  %8d%s\n", n, c["ok"], people, c["setup"], c["part"],
                c["no"], guess ? "   (たぶん " guess ")" : ""
        }
        for (i = 1; i <= people; i++) {
            id = order[i]
            k = value[id, "need"] == "-" ? 0 : split(value[id, "need"], pair, ",")
            for (j = 1; j <= k; j++) {
                if (!(pair[j] in packs)) pack[++packed] = pair[j]
                packs[pair[j]] = add(packs[pair[j]], who[id])
                lacking[pair[j]]++
            }
            k = value[id, "why"] == "-" ? 0 : split(value[id, "why"], pair, ",")
            for (j = 1; j <= k; j++) {
                s = pair[j]
                steps = s
                sub(/^[0-9]+:/, "", s)
                sub(/:.*/, "", steps)
                gsub(/[0-9]/, " 0&", steps)
                if (!(s in keys)) reason[++reasons] = s
                keys[s] = keys[s] "    " who[id] " (" machine[id] "):" steps "\n"
            }
        }
        if (packed) print "\n足りないパッケージ (sh shared/scripts/setup.sh)"
        for (i = 1; i <= packed; i++)
            print "  " pack[i] ": " lacking[pack[i]] " 人 (" packs[pack[i]] ")"
        if (reasons) print "\n動かないところのあるマシン"
        for (i = 1; i <= reasons; i++) {
            s = reason[i]
            print "  " (s in what ? what[s] : "知らない理由です: " s)
            if (s in todo) print "  → " todo[s]
            printf "%s", keys[s]
        }
        if (unknowns) print "\n読めない行"
        for (i = 1; i <= unknowns; i++) print unknown[i]
    }
'
