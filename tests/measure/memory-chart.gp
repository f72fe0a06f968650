# memory-chart.gp - memory-chart.sh の CSV をグラフにする
# 使い方: gnuplot -c memory-chart.gp CSV [SVG]    SVG がなければ端末に描く
file = ARG1
svg = ARGC > 1
# 1 行目: 「# 上限 52428800 バイト, ファイル memory.current」
line = system("head -n 1 " . file)
limit = real(word(line, 3)) / 1048576
name = word(line, 6)
set terminal dumb 90 26 noenhanced
if (svg) {
    set terminal svg size 1160,560 dynamic noenhanced background "white" font "Noto Sans CJK JP,18"
    set output ARG2
    set grid lc rgb "#dddddd" lt 1
}
set datafile separator ","
set datafile commentschars "#"
set style line 1 lc rgb "#0072b2" lw 2 pt 7 ps 0.6
set style line 2 lc rgb "#b34700" lw 2 dt 2
set style line 3 lc rgb "#555555" lw 1.5 dt 3
set border 3
set tics nomirror out
stats file using 1 every ::1 name "seconds" nooutput
# 初めて oom_kill が増えたとき
stats file using (column(3) > 0 ? column(1) : NaN) every ::1 name "killed" nooutput
set title sprintf("上限が %.0f MB のコンテナの、メモリーの量 (%s)", limit, name)
set xlabel "見始めてからの時間 (秒)"
set ylabel "MB"
set xrange [0:seconds_max * 1.02]
set yrange [0:limit * 1.25]
set key inside top left reverse Left samplen 2
set arrow from killed_min, 0 to killed_min, limit * 1.06 nohead ls 3
set label svg ? sprintf("OOM killer (%.2f 秒)", killed_min) : sprintf("killed %.2f s", killed_min) \
    at killed_min, limit * 1.12 right
# 端末では、全角が桁をずらす
plot limit with lines ls 2 title svg ? sprintf("上限 (%.0f MB)", limit) : "limit", \
     file using 1:(column(2) / 1048576) every ::1 with linespoints ls 1 title svg ? name : "used"
