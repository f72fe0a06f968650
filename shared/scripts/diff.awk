# 前のステップとの差分を、関数ごとに分けて、デッキで読む順に並べる (diff.sh が使う)。
#   awk -f diff.awk 変数... DECK BEFORE AFTER DIFF
# 変数: fn (見せる関数。空ならすべて)、tour (説明も出す)、color (色を付ける)。
# 項目の分け方と畳み方は、スライドの道具 (slides/tool/diff.mjs, pages.mjs) と同じ。
# mawk でも動くように、文字はバイトとして扱う

BEGIN {
    CONTEXT = 2 # 変わった行の前後に見せる行の数
    explain_count = 0 # 0 は、前置き
    if (color) {
        BOLD = "\033[1m"; RED = "\033[31m"; GREEN = "\033[32m"; DIM = "\033[2m"
        MARK = "\033[7m"; UNMARK = "\033[27m"; RESET = "\033[m"
    }
}

FNR == 1 { file++ }
file == 1 { read_deck($0); next }
file == 2 { old_count = FNR; text["old", FNR] = $0; next }
file == 3 { now_count = FNR; text["now", FNR] = $0; next }
/^@@/ { in_hunk = 1; next }
in_hunk && /^[-+ ]/ { diff[++diff_count] = $0 }

END {
    read_program("old", old_count)
    read_program("now", now_count)
    make_rows()
    order_items()
    if (fn == "")
        show_total()
    for (at = 1; at <= part_count; at++)
        show_part(at)
    if (fn != "" && !shown) {
        for (at = 1; at <= order_count; at++)
            printf "%s%s", (at > 1 ? ", " : ""), order[at]
        exit 3
    }
}

# --- デッキ: 項目の順と、その説明 --------------------------------------------------
function read_deck(line,    names) {
    if (line ~ /^<!-- diff:/)
        in_diff = 1
    else if (line == "---")
        in_diff = 0
    if (!in_diff)
        return
    if (line ~ /^<!-- explain:/) {
        names = line
        sub(/^<!-- explain: */, "", names)
        sub(/( [0-9a-f]+)? *-->.*/, "", names)
        explained[++explain_count] = names
    } else if (in_note || line ~ /^<!--/) {
        # 話すことは、何行もあることがある
        in_note = line !~ /-->/
    } else if (line !~ /^ *$/) {
        words[explain_count] = words[explain_count] plain(line) "\n"
    }
}

# Markdown の印を取る
function plain(line,    out) {
    sub(/^#+ */, "", line)
    gsub(/<[^>]*>/, "", line)
    while (match(line, /\*\*[^*]+\*\*|`[^`]+`/)) {
        out = out substr(line, 1, RSTART - 1) BOLD
        mark = substr(line, RSTART, 1) == "`" ? 1 : 2
        out = out substr(line, RSTART + mark, RLENGTH - 2 * mark) RESET
        line = substr(line, RSTART + RLENGTH)
    }
    return out line
}

# --- プログラム: どの行が、どの項目とブロックとコメントのものか ------------------------
function read_program(s, count,    n) {
    blocks = parens = from = comment = item_open = last_kind = 0
    last_end = 0
    for (n = 1; n <= count; n++) {
        read_line(s, n)
        read_item(s, n)
    }
    for (n = last_end + 1; n <= count; n++)
        owner[s, n] = last_name
    is_last[s, count] = 1
}

# コメントと文字列をよけて、かっこと文の終わりを数える
function read_line(s, n,    rest, token, i) {
    rest = text[s, n]
    code = ""
    closed = ""
    for (i = 1; i <= blocks; i++)
        within[s, n] = within[s, n] " " block[i]
    comment_of[s, n] = comment
    for (; rest != ""; rest = substr(rest, length(token) + 1)) {
        token = next_token(rest)
        if (comment) {
            comment_end[s, comment] = n
            if (token == "*/")
                comment = 0
        } else if (token == "/*") {
            comment = comment_of[s, n] = n
            comment_end[s, n] = n
        } else if (token ~ /^[ \t]/ || token ~ /^\/\//) {
            code = code " "
        } else {
            read_token(s, n, token)
            code = code token
        }
    }
    gsub(/^ +| +$/, "", code)
    has_code[s, n] = code != ""
    if (code ~ /^#/ && code !~ /\\$/ || code ~ /:$/)
        from = 0
}

function next_token(rest) {
    if (match(rest, /^\/\*|^\*\/|^[ \t]+|^[A-Za-z_0-9]+/) ||
        !comment && match(rest, /^\/\/.*|^"([^"\\]|\\.)*"|^'([^'\\]|\\.)*'/))
        return substr(rest, 1, RLENGTH)
    return substr(rest, 1, 1)
}

function read_token(s, n, token,    i, rows) {
    if (token == "}") {
        closed = block[blocks--]
        from = 0
    } else if (token == "{") {
        rows = from && from < n ? "" : closed
        for (i = from ? from : n; i <= n; i++)
            rows = rows " " i
        block[++blocks] = rows
        from = 0
    } else if (!parens && token ~ /^[;,]$/) {
        from = 0
    } else if (!from) {
        from = n
    }
    parens += (token == "(") - (token == ")")
}

# 一番外側の宣言が終わるところまでを、1 つの項目にする
function read_item(s, n) {
    if (n == 1 && text[s, 1] ~ /^\/\*/)
        in_header = 1
    if (in_header) {
        in_header = comment != 0
        if (!in_header)
            end_item(s, n, "header", n)
        return
    }
    if (!item_open && code == "")
        return
    if (!item_open) {
        item_open = n
        head = tail = ""
        opened = table = 0
    }
    if (!opened && code !~ /^#/)
        head = head " " code
    if (text[s, n] ~ /^} *\**[A-Za-z_]/)
        tail = code
    if (!opened && text[s, n] ~ /{[ \t]*$/)
        opened = n
    if (text[s, n] ~ /= *{[ \t]*$/ && !table)
        table = n
    if (!blocks && !from && code !~ /\\$/)
        end_item(s, n, name_of(s), item_open)
}

function name_of(s,    first, name) {
    first = text[s, item_open]
    if (first ~ /^#include/ || first ~ /^#define _GNU_SOURCE/)
        return "#include"
    if (first ~ /^#/) {
        split(first, field, /[ (]+/)
        return field[1] " " field[2]
    }
    name = tail != "" ? substr(tail, 2) : head
    sub(/[;{=[].*/, "", name)
    is_call = tail == "" && name ~ /[A-Za-z_0-9]\(/
    if (is_call)
        sub(/\(.*/, "", name)
    sub(/ +$/, "", name)
    sub(/.*[ *]/, "", name)
    return name
}

# last_end の次から n までを、項目 name のものにする。code は宣言の初め
function end_item(s, n, name, start,    i, kind, sig) {
    kind = name ~ /^#define/ ? "define" : name
    # 並んだ #include と、間に空行のない #define は、前のものに足す
    if (kind == "#include" && last_name == kind ||
        kind == "define" && last_kind == kind && start == last_end + 1) {
        name = last_name
        is_last[s, last_end] = 0
    } else if (++seen[s, name] > 1) {
        name = name "#" seen[s, name]
    }
    if (name !~ /^#|^header$/ && is_call)
        call[name] = 1
    sig = is_call || !table ? opened : table
    for (i = last_end + 1; i <= n; i++) {
        owner[s, i] = name
        signature[s, i] = name !~ /^#|^header$/ && i >= start && i <= sig
    }
    is_last[s, n] = 1
    last_end = n
    last_name = name
    last_kind = kind
    item_open = is_call = 0
}

# --- 差分: 項目ごとの行 ----------------------------------------------------------
# 両方にある行でも、属する項目が違えば、消えて増えた行にする。消える行が先
function make_rows(    k, i, j, sign, waiting, queue, w) {
    i = j = 0
    for (k = 1; k <= diff_count; k++) {
        sign = substr(diff[k], 1, 1)
        if (sign != "+") i++
        if (sign != "-") j++
        if (sign != "+") name_seen(owner["old", i], diff[k])
        if (sign != "-") name_seen(owner["now", j], diff[k])
        if (sign == " " && owner["old", i] == owner["now", j]) {
            for (w = 1; w <= waiting; w++)
                add_row("+", 0, queue[w], counted[queue[w]])
            waiting = 0
            add_row(" ", i, j, 0)
            continue
        }
        if (sign != "+")
            add_row("-", i, 0, sign == "-")
        if (sign != "-") {
            queue[++waiting] = j
            counted[j] = sign == "+"
        }
    }
    for (w = 1; w <= waiting; w++)
        add_row("+", 0, queue[w], counted[queue[w]])
}

function name_seen(name, line) {
    if (substr(line, 2) ~ /[^ \t]/ && !(name in known)) {
        known[name] = 1
        found[++found_count] = name
    }
}

function add_row(sign, i, j, counts,    s, n, name, at) {
    s = sign == "-" ? "old" : "now"
    n = sign == "-" ? i : j
    name = owner[s, n]
    at = ++row_count[name]
    row_sign[name, at] = sign
    row_side[name, at] = s
    row_line[name, at] = n
    row_text[name, at] = text[s, n]
    if (i) place[name, "old", i] = at
    if (j) place[name, "now", j] = at
    if (sign != " " && text[s, n] ~ /[^ \t]/)
        is_changed[name] = 1
    if (counts && sign == "+") { plus[name]++; all_plus++ }
    if (counts && sign == "-") { minus[name]++; all_minus++ }
}

# 説明のあるものから順に。1 つの説明にいくつかの項目があれば、1 つの部分になる
function order_items(    k, i, n, names) {
    for (k = 1; k <= explain_count; k++) {
        n = split(explained[k], names, /, */)
        for (i = 1; i <= n; i++)
            if (is_changed[names[i]])
                add_item(names[i], k)
    }
    for (k = 1; k <= found_count; k++)
        if (is_changed[found[k]])
            add_item(found[k], -1)
}

function add_item(name, explanation) {
    if (name in part_of)
        return
    if (explanation < 0 || explanation != part_words[part_count]) {
        part_words[++part_count] = explanation
        part_first[part_count] = order_count + 1
    }
    order[++order_count] = name
    part_of[name] = part_last[part_count] = part_count
    part_last[part_count] = order_count
}

# --- 畳む ----------------------------------------------------------------------
function is_comment_row(name, at) {
    return !has_code[row_side[name, at], row_line[name, at]] && row_text[name, at] ~ /[^ \t]/
}

# 行 at のある側のファイルの行 (空白で区切った番号) を、見せることにする
function keep_lines(name, at, lines,    i, n, number) {
    n = split(lines, number, " ")
    for (i = 1; i <= n; i++)
        if ((name, row_side[name, at], number[i]) in place)
            keep[place[name, row_side[name, at], number[i]]] = 1
}

function choose_rows(name, first, last,    at, near, s, n, i, lines) {
    split("", keep)
    for (at = first; at <= last; at++) {
        s = row_side[name, at]; n = row_line[name, at]
        keep[at] = signature[s, n] || is_last[s, n]
        for (near = at - CONTEXT; near <= at + CONTEXT; near++)
            if (near >= first && near <= last && row_sign[name, near] != " ")
                keep[at] = 1
    }
    for (at = first; at <= last; at++) {
        s = row_side[name, at]; n = comment_of[s, row_line[name, at]]
        lines = ""
        for (i = n; n && i <= comment_end[s, n]; i++)
            lines = lines " " i
        if (keep[at])
            keep_lines(name, at, lines)
    }
    for (at = last - 1; at >= first; at--)
        if (row_sign[name, at] == " " && is_comment_row(name, at) && !keep[at + 1])
            keep[at] = 0
    for (at = first; at <= last; at++)
        if (keep[at])
            keep_lines(name, at, within[row_side[name, at], row_line[name, at]])
}

# --- 見せる ----------------------------------------------------------------------
function label(name) {
    if (name == "header")
        return "冒頭のコメント"
    sub(/#[0-9]+$/, "", name)
    return name (call[name] ? "()" : "")
}

function counts_of(added, deleted) {
    return (added ? " +" added : "") (deleted ? " -" deleted : "")
}

function heading(text) {
    return BOLD "== " text " ==" RESET
}

function show_total(    at) {
    print heading(before " → " after counts_of(all_plus, all_minus))
    if (!tour)
        return
    for (at = 1; at <= order_count; at++)
        print "  " label(order[at]) counts_of(plus[order[at]], minus[order[at]])
    if (words[0] != "")
        printf "\n%s", words[0]
    printf "\f"
}

# 説明が 1 つの項目。ふつうの差分では、初めのコメントと #include は 1 行だけ
function show_part(at,    i, name, any) {
    for (i = part_first[at]; i <= part_last[at]; i++) {
        name = order[i]
        if (fn != "" && fn != name && "#" fn != name)
            continue
        any = shown = 1
        if (fn == "" && (!tour || i > part_first[at]) && !(is_noise(name) && was_noise))
            print ""
        was_noise = is_noise(name)
        print headed(name)
        if (!was_noise)
            show_rows(name)
    }
    if (any && tour && words[part_words[at]] != "")
        printf "\n%s", words[part_words[at]]
    if (any && tour)
        printf "\f"
}

# 初めのコメントと #include を 1 行で済ませるか
function is_noise(name) {
    return !tour && fn == "" && name ~ /^(header|#include)$/
}

function headed(name,    line) {
    line = label(name) counts_of(plus[name], minus[name])
    sub(/^#/, "", name)
    return heading(line (was_noise ? " 行 (FN=" name " で表示)" : ""))
}

function show_rows(name,    at, first, last, hidden) {
    first = 1; last = row_count[name]
    while (row_text[name, first] !~ /[^ \t]/) first++
    while (row_text[name, last] !~ /[^ \t]/) last--
    mark_words(name, first, last)
    if (name ~ /^(header|#include)$/) {
        for (at = first; at <= last; at++)
            hidden += row_sign[name, at] == " "
        for (at = first; at <= last; at++)
            if (row_sign[name, at] != " " || hidden < 2)
                show_row(name, at)
        if (hidden > 1)
            print DIM " ⋯ 変わらない " hidden " 行" RESET
        return
    }
    choose_rows(name, first, last)
    for (at = first; at <= last; at += hidden) {
        for (hidden = 0; at + hidden <= last && !keep[at + hidden]; )
            hidden++
        if (hidden > 1) {
            print DIM " ⋯ 変わらない " hidden " 行" RESET
            continue
        }
        show_row(name, at)
        hidden = 1
    }
}

function show_row(name, at,    sign) {
    sign = row_sign[name, at]
    if (sign == " ")
        print " " row_text[name, at]
    else
        print (sign == "+" ? GREEN : RED) sign row_text[name, at] RESET
}

# - と + の行の組で、違う語だけを反転する
function mark_words(name, first, last,    at, minus_at, i, gone, came) {
    for (at = first; color && at <= last; at++) {
        gone = came = 0
        minus_at = at
        while (at + gone <= last && row_sign[name, at + gone] == "-") gone++
        at += gone
        while (at + came <= last && row_sign[name, at + came] == "+") came++
        for (i = 0; i < gone && i < came; i++)
            mark_pair(name, minus_at + i, at + i)
        at += came
        if (gone + came) at--
    }
}

function mark_pair(name, one, two,    n, m, a, b, p, q, i, same, least) {
    n = words_of(row_text[name, one], a)
    m = words_of(row_text[name, two], b)
    while (p < n && p < m && a[p + 1] == b[p + 1])
        same += bytes(a[++p])
    while (q < n - p && q < m - p && a[n - q] == b[m - q])
        same += bytes(a[n - q++])
    least = bytes(row_text[name, one])
    if (bytes(row_text[name, two]) < least)
        least = bytes(row_text[name, two])
    # 似ていない行では、どこもが違う
    if (same * 3 < least)
        return
    row_text[name, one] = marked(a, p, n - q, n)
    row_text[name, two] = marked(b, p, m - q, m)
}

function bytes(word) {
    gsub(/[ \t]/, "", word)
    return length(word)
}

# 1 行を語に分ける。日本語は、続くところが 1 語
function words_of(line, list,    n) {
    for (; match(line, /^[A-Za-z0-9_]+|^[ \t]+|^[\200-\377]+/) || line != ""; line = substr(line, length(list[n]) + 1))
        list[++n] = RSTART ? substr(line, 1, RLENGTH) : substr(line, 1, 1)
    return n
}

function marked(list, from, to, count,    i, out) {
    for (i = 1; i <= count; i++)
        out = out (i == from + 1 && to > from ? MARK : "") list[i] (i == to && to > from ? UNMARK : "")
    return out
}
