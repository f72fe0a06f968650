# 手引きの例と同じプロンプト
PS1='$ '
PS2='> '
alias ls='ls --color=auto'
