# cpu-chart.gp - cpu-chart.sh の CSV をグラフにする
# 使い方: gnuplot -c cpu-chart.gp CSV [SVG]    SVG がなければ端末に描く
file = ARG1
svg = ARGC > 1
set terminal dumb 90 26 noenhanced
if (svg) {
    set terminal svg size 1160,560 dynamic noenhanced background "white" font "Noto Sans CJK JP,18"
    set output ARG2
    set grid lc rgb "#dddddd" lt 1
}
set datafile separator ","
set datafile commentschars "#"
set style line 1 lc rgb "#0072b2" lw 2 pt 7 ps 1.1
set style line 2 lc rgb "#b34700" lw 2
set style line 3 lc rgb "#555555" lw 1.5 dt 2
set border 3
set tics nomirror out
set title "CPU の上限が 20 % のとき、仕事の量とかかった時間 (1 スレッド)"
set xlabel "仕事の量 (使う CPU 時間、ミリ秒)"
set ylabel "かかった時間 (ミリ秒)"
set xrange [0:105]
set yrange [0:540]
set xtics 20
set ytics 100
set key inside top left reverse Left samplen 2
# 周期の初めから始めれば、20 ms を使い切るごとに、次の周期まで 80 ms 待つ
steps(ms) = ms + 80 * floor((ms - 0.001) / 20)
work(kind) = stringcolumn(1) eq kind ? column(4) * 1000 : NaN
# 数を添える点。近すぎるものには添えない
between(least, most) = work("step") >= least && work("step") < most ? work("step") : NaN
measured = "column(6) * 1000"
set samples 1051
# 端末では、全角が桁をずらす
plot x / 0.2 with lines ls 3 title svg ? "仕事 / 上限" : "work / limit", \
     steps(x) with lines ls 2 title svg ? "予想 (20 ms ごとに 80 ms 待つ)" : "expected", \
     file using (work("step")):(@measured) every ::1 with points ls 1 \
         title svg ? "測った時間" : "measured", \
     for [i = 1:svg] file using (between(5, 20)):(@measured):(sprintf("%.0f", @measured)) \
         every ::1 with labels offset 0,0.9 notitle, \
     for [i = 1:svg] file using (between(20, 200)):(@measured):(sprintf("%.0f", @measured)) \
         every ::1 with labels offset 1.6,-0.8 notitle
