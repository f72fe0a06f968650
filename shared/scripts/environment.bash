# shellcheck shell=bash
# environment.bash - 実行したユーザーによって違うものを、いつも同じにする。
# ほかのコマンドの出力を読むスクリプトが、初めに読み込む

# メッセージは英語、文字は UTF-8。
# LANGUAGE は LC_ALL=C.UTF-8 より強い。gettext(3)
unset "${!LC_@}" LANGUAGE
export LC_ALL=C.UTF-8
# コマンドの動きを変えるもの。
# たとえば CDPATH があると、cd が場所を表示する。bash(1)
unset CDPATH POSIXLY_CORRECT BASH_ENV ENV TAR_OPTIONS PS_FORMAT
declare +x SHELLOPTS BASHOPTS
# git のフックから動かすと、git はそのリポジトリだけを見る。githooks(5)
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX
# script(1) や tmux(1) は、ここにあるシェルを使う
export SHELL=/bin/sh
# su で root になると、PATH に sbin がないことがある。su(1)
[[ :$PATH: == *:/usr/sbin:* ]] || PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
umask 022
