# cpu-chart.gp - cpu-chart.sh の CSV をグラフにする
# 使い方: gnuplot -c cpu-chart.gp CSV [SVG]    SVG がなければ端末に描く
file = ARG1
# 1 行目: 「# 1 本の仕事 0.250 s, CPU 2 個」
line = system("head -n 1 " . file)
work = real(word(line, 4))
cpus = real(word(line, 7))
svg = ARGC > 1
set terminal dumb 90 24 noenhanced
if (svg) {
    set terminal svg size 1160,560 dynamic noenhanced background "white" font "Noto Sans CJK JP,18"
    set output ARG2
    set grid lc rgb "#dddddd" lt 1
}
min(a, b) = a < b ? a : b
set datafile separator ","
set datafile commentschars "#"
set style line 1 lc rgb "#0072b2" lw 2 pt 7 ps 1.1
set style line 2 lc rgb "#b34700" lw 2 pt 5 ps 1.1
set border 3
set tics nomirror out
set logscale xy
set title "CPU の上限と、同じ仕事にかかる時間"
set xlabel "CPU の上限 (--cpus)"
set ylabel "秒"
set xtics (0.1, 0.2, 0.5, 1, 2, 4)
set ytics (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
set xrange [0.08:(cpus < 4 ? (cpus < 2 ? 1.4 : 2.8) : 5.6)]
stats file using 4 every ::1 name "seconds" nooutput
set yrange [min(seconds_min, work) * 0.5:seconds_max * 1.8]
set key inside top right vertical maxrows 4 samplen 2
# 上限まで使い続けたときの時間。スレッドの数と CPU の数より多くは使えない
expected(threads, quota) = threads * work / min(quota, min(threads, cpus))
measured(threads) = column(2) == threads ? column(4) : NaN
threads(i) = i == 1 ? 1 : 4
# 端末では、全角が桁をずらす
title(i, name) = sprintf(svg ? name . " (%d スレッド)" : "%d threads", threads(i))
plot for [i = 1:2] expected(threads(i), x) with lines ls i lw 1.5 dt 2 title svg ? title(i, "仕事 / 上限") : "", \
     for [i = 1:2] file using 1:(measured(threads(i))) every ::1 with points ls i title title(i, "測った時間"), \
     for [i = 1:2 * svg] file using 1:(measured(threads(i))):(sprintf("%.2f", column(4))) every ::1 \
         with labels offset -2.2,-0.9 notitle
