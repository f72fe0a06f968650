# bench.gp - bench.sh の CSV をグラフにする
# 使い方: gnuplot -c bench.gp build/bench
dir = ARG1
set datafile separator ","
svg(height) = sprintf("set terminal svg size 800,%d dynamic noenhanced \
    background 'white' font 'Noto Sans CJK JP,14'", height)
set style line 1 lc rgb "#0072b2" lw 2 pt 7 ps 0.8
set style line 2 lc rgb "#d55e00" lw 2 pt 5 ps 0.8
set style line 3 lc rgb "#009e73" lw 2 pt 9 ps 0.9
set style line 4 lc rgb "#cc79a7" lw 2 pt 11 ps 0.9
set style line 5 lc rgb "#555555" lw 2 pt 13 ps 0.9
set border 3
set tics nomirror out
set grid xtics lc rgb "#dddddd" lt 1
set key outside above right

# 起動の時間。podman は 100 倍もかかるので、対数の軸に点で描く
file = dir . "/startup.csv"
stats file using 2:3 skip 1 name "startup" nooutput
eval svg(520)
set output dir . "/startup.svg"
set title "1 つ始めるのにかかる時間 (中央値)"
set xlabel "ミリ秒 (対数)"
set logscale x
set xtics (0.5, 1, 2, 5, 10, 20, 50, 100, 200)
least = startup_min_x < startup_min_y ? startup_min_x : startup_min_y
set xrange [least * 0.7:startup_max_y * 1.5]
set yrange [startup_records - 0.5:-0.5]
plot file using 2:0:($3 - $2):(0) skip 1 with vectors nohead lc rgb "#bbbbbb" lw 3 notitle, \
     file using 2:0:yticlabels(1) skip 1 with points ls 1 ps 1.2 title "起動 (最初の 1 文字まで)", \
     file using 3:0 skip 1 with points ls 2 ps 1.2 title "全体 (後始末まで)"

# 同時に始める
file = dir . "/at-once.csv"
names = "step07 step09 bubblewrap runc crun"
eval svg(760)
set output dir . "/at-once.svg"
set xlabel "同時に始める数 (対数)"
set ylabel "ミリ秒 (対数)"
set yrange [*:*]
set logscale y
set xrange [0.9:220]
set yrange [1:*]
set xtics (1, 2, 5, 10, 20, 50, 100, 200)
set ytics (1, 10, 100, 1000, 10000)
set grid noxtics ytics
set key inside bottom right
of(name, column) = stringcolumn(1) eq name ? column(column) : NaN
set multiplot layout 2,1
set title "すべてが最初の 1 文字を出すまで"
plot for [i = 1:5] file using 2:(of(word(names, i), 3)) skip 1 with linespoints ls i title word(names, i)
unset key
set title "1 つの起動 (自分の始まりから最初の 1 文字まで、平均)"
plot for [i = 1:5] file using 2:(of(word(names, i), 4)) skip 1 with linespoints ls i title word(names, i)
unset multiplot

# 1 つずつ増やす
file = dir . "/in-turn.csv"
stats file using 2 skip 1 every ::0::9 name "first" nooutput
eval svg(420)
set output dir . "/in-turn.svg"
set key outside above right
set title "step09 を 1 つずつ増やしたときの、k 番目の起動 (最初の 1 文字まで)"
unset logscale x
set xlabel "k (k - 1 個が動いている)"
set xtics autofreq
set xrange [0:201]
set yrange [*:*]
set ytics (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
plot file using 1:2 skip 1 with points ls 1 ps 0.5 title "中央値", \
     file using 1:2 skip 1 smooth bezier ls 2 title "ならした線", \
     2 * first_median lc rgb "black" dt 2 title "初めの 10 個の 2 倍"
