# matrix.awk - matrix.sh の調べた結果を表にする
#   -v mode=table  端末に。-v color=1 なら色も付ける
#   -v mode=csv    すべての値。変わったところには * を付ける
#   -v mode=svg    図。<metadata> に csv と同じものを入れる
#   -v mode=check  2 つ目のファイル (図) の csv と比べる。違えば 1 で終わる
# mawk はバイト単位で動くので、どの awk でも同じになるように LC_ALL=C で使う

# check が比べる値。all はすべて、after は印の付いたところから後、marks は印だけ
# (値がマシンやカーネルによって違うもの)
BEGIN {
    add_row("uid", "中の uid", "all")
    add_row("owner", "外から見た uid", "marks")
    add_row("hostname", "ホスト名", "all")
    add_row("pid", "中の PID ($$)", "after")
    add_row("processes", "見えるプロセス", "after")
    add_row("links", "ネットワーク", "all")
    add_row("ipc", "ホストの共有メモリー", "all")
    add_row("mounts", "マウントの数", "marks")
    add_row("root", "/ の inode", "marks")
    add_row("reach", "ホストの / に届くか", "all")
    add_row("capabilities", "ケーパビリティー", "marks")
    add_row("cpu", "CPU の上限", "after")
    add_row("memory", "メモリーの上限", "after")
    add_row("pids", "プロセス数の上限", "after")
    add_row("inner", "中から見た cgroup", "marks")
    add_row("outer", "外から見た cgroup", "marks")
}

function add_row(name, title, compare) {
    row[++rows] = name
    titles[name] = title
    compares[name] = compare
}

FNR == 1 { files++ }
files == 1 && $1 == "step" { step[++steps] = $2; next }
files == 1 {
    name = $1
    sub(/^[^ ]* */, "")
    sub(/ +$/, "")
    value[name, steps] = $0
}
# 図の中の表
files == 2 && /<metadata>/ { inside = 1; next }
files == 2 && /<\/metadata>/ { inside = 0 }
inside {
    old_title = $0
    sub(/,.*/, "", old_title)
    old_line[old_title] = $0
}

END {
    for (r = 1; r <= rows; r++)
        for (s = 2; s <= steps; s++)
            marked[row[r], s] = key_of(row[r], s) != key_of(row[r], s - 1)
    if (mode == "table")
        print_table()
    else if (mode == "csv")
        print_csv()
    else if (mode == "svg")
        print_svg()
    else
        exit print_changes()
}

# 1 つ前の列と比べるもの。PID やプロセスの数は、動かすたびに違う。だから、PID 名前
# 空間がホストと同じかどうかで比べる
function key_of(name, s) {
    if (name == "pid" || name == "processes")
        return value["pid-namespace", s] == value["pid-namespace", 1]
    return value[name, s]
}

# 長いパスは最後の語だけにする。空白のところで行を分け、行の数を返す
function split_cell(text, parts,    count, i) {
    count = split(text, parts, " ")
    for (i = 1; i <= count; i++)
        if (length(parts[i]) > 10 && parts[i] ~ /\//)
            sub(/.*\//, "…/", parts[i])
    return count
}

# --- csv ----------------------------------------------------------------------
function csv_line(name,    line, s) {
    line = titles[name]
    for (s = 1; s <= steps; s++)
        line = line "," value[name, s] (marked[name, s] ? "*" : "")
    return line
}

function print_csv(    line, s, r) {
    line = "項目"
    for (s = 1; s <= steps; s++)
        line = line "," step[s]
    print line
    for (r = 1; r <= rows; r++)
        print csv_line(row[r])
}

function head(s) {
    return step[s] == "host" ? "ホスト" : step[s]
}

# --- 端末に --------------------------------------------------------------------
# 全角は 2 桁。UTF-8 の 3 バイト文字は、先頭のバイトが e0..ef
function width_of(text,    wide) {
    gsub(/…/, "_", text)
    wide = gsub(/[\340-\357]/, "", text)
    gsub(/[\200-\277]/, "", text)
    return length(text) + 2 * wide
}

function pad(text, width, bold,    blank) {
    blank = sprintf("%" (width - width_of(text)) "s", "")
    return (bold && color ? "\033[1m" text "\033[m" : text) blank
}

# 前の列と同じなら 〃 にして、幅を抑える
function shown(name, s) {
    if (s > 1 && value[name, s] == value[name, s - 1])
        return "〃"
    return value[name, s]
}

function lay_out(    r, s, i, count, parts, width) {
    for (s = 1; s <= steps; s++) {
        widths[s] = width_of(head(s))
        for (r = 1; r <= rows; r++) {
            count = split_cell(shown(row[r], s), parts)
            for (i = 1; i <= count; i++) {
                width = width_of(parts[i]) + (marked[row[r], s] && i == 1)
                if (width > widths[s])
                    widths[s] = width
            }
        }
    }
}

function print_table(    line, s, r) {
    lay_out()
    line = pad("", 21)
    for (s = 1; s <= steps; s++)
        line = line pad(head(s), widths[s] + 1)
    sub(/ +$/, "", line)
    print line
    for (r = 1; r <= rows; r++)
        print_row(row[r])
    print "* は、1 つ前の列から変わったところ。〃 は同じ"
}

function print_row(name,    line, s, i, count, parts, most) {
    most = 1
    for (i = 1; i <= most; i++) {
        line = pad(i == 1 ? titles[name] : "", 21)
        for (s = 1; s <= steps; s++) {
            count = split_cell(shown(name, s), parts)
            if (count > most)
                most = count
            line = line pad((marked[name, s] && i == 1 ? "*" : "") \
                (i <= count ? parts[i] : ""), widths[s] + 1, marked[name, s])
        }
        sub(/ +$/, "", line)
        print line
    }
}

# --- 図に ---------------------------------------------------------------------
function escaped(text) {
    gsub(/&/, "\\&amp;", text)
    gsub(/</, "\\&lt;", text)
    gsub(/>/, "\\&gt;", text)
    return text
}

function svg_text(x, y, text, class) {
    printf "<text x=\"%d\" y=\"%d\" class=\"%s\">%s</text>\n", x, y, class,
        escaped(text)
}

function row_height(name,    s, parts) {
    for (s = 1; s <= steps; s++)
        if (split_cell(value[name, s], parts) > 1)
            return 50
    return 30
}

# 変わったところは、色と太字と、角の三角で示す
function svg_cell(x, y, height, text, new,    parts, count, i) {
    if (new) {
        printf "<path class=\"changed\" d=\"M%d %dh%dv%dh-%dz\"/>\n",
            x + 1, y + 1, CELL - 2, height - 2, CELL - 2
        printf "<path class=\"corner\" d=\"M%d %dh12l-12 12z\"/>\n", x + 1, y + 1
    }
    count = split_cell(text, parts)
    for (i = 1; i <= count; i++)
        svg_text(x + CELL / 2, y + height / 2 + 7 + (i - (count + 1) / 2) * 20,
            parts[i], "cell" (new ? " new" : ""))
}

function svg_row(name, y, height,    s) {
    printf "<path class=\"line\" d=\"M0 %dh1200\"/>\n", y
    svg_text(8, y + height / 2 + 7, titles[name], "label")
    for (s = 1; s <= steps; s++)
        svg_cell(LEFT + (s - 1) * CELL, y, height, value[name, s], marked[name, s])
}

# 読み上げのための文。印の付いたところを、ステップごとに並べる
function description(    s, r, found, text) {
    for (s = 2; s <= steps; s++) {
        found = ""
        for (r = 1; r <= rows; r++)
            if (marked[row[r], s])
                found = found "、" titles[row[r]] " は " value[row[r], s]
        sub(/^、/, "", found)
        if (found)
            text = text step[s] " で変わるもの: " found "。"
    }
    return text
}

function print_head(height,    s) {
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1200 " height \
        "\" role=\"img\" aria-labelledby=\"matrix-title matrix-desc\">"
    print "<title id=\"matrix-title\">9 つのステップが分けるもの</title>"
    print "<desc id=\"matrix-desc\">ホストと、ステップ 01 から 09 の中とで、同じことを調べた表。" \
        escaped(description()) "</desc>"
    print "<metadata>"
    print_csv()
    print "</metadata>"
    print "<style>"
    print ".matrix text { font: 18px \"Noto Sans CJK JP\", \"Noto Sans JP\", sans-serif; fill: #444; }"
    print ".matrix .cell { text-anchor: middle; }"
    print ".matrix .head, .matrix .label, .matrix .new { fill: #111; }"
    print ".matrix .head, .matrix .new { font-weight: bold; }"
    print ".matrix .line { stroke: #bbb; }"
    print ".matrix .changed { fill: #ffe08a; stroke: #8a6100; }"
    print ".matrix .corner { fill: #8a6100; }"
    print "</style>"
    print "<g class=\"matrix\">"
    printf "<path d=\"M0 0h1200v%dH0z\" fill=\"#fff\"/>\n", height
    for (s = 1; s <= steps; s++)
        svg_text(LEFT + (s - 0.5) * CELL, 23, head(s), "cell head")
}

function print_svg(    r, y, height) {
    LEFT = 190
    CELL = 101
    height = 32 + 30
    for (r = 1; r <= rows; r++)
        height += row_height(row[r])
    print_head(height)
    y = 32
    for (r = 1; r <= rows; r++) {
        svg_row(row[r], y, row_height(row[r]))
        y += row_height(row[r])
    }
    printf "<path class=\"line\" d=\"M0 %dh1200\"/>\n", y
    printf "<path class=\"corner\" d=\"M8 %dh12l-12 12z\"/>\n", y + 9
    svg_text(28, y + 22, "1 つ前の列から変わったところ。値はすべて、動いているあいだに調べたものです", "label")
    print "</g>"
    print "</svg>"
}

# --- 確かめる ------------------------------------------------------------------
function print_changes(    r, s, name, old, new, count, seen, bad) {
    for (r = 1; r <= rows; r++) {
        name = row[r]
        seen = 0
        split("", old)
        split(old_line[titles[name]], old, ",")
        split(csv_line(name), new, ",")
        for (s = 1; s <= steps; s++) {
            seen = seen || marked[name, s]
            if (same(old[s + 1], new[s + 1], compares[name] == "all" ||
                    (compares[name] == "after" && seen)))
                continue
            printf "%s, %s: %s -> %s\n", titles[name], step[s], old[s + 1], new[s + 1]
            bad = 1
        }
    }
    return bad
}

function same(old, new, values) {
    if (values)
        return old == new
    return (old ~ /\*$/) == (new ~ /\*$/)
}
