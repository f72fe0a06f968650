"""本物の端末 (pty) の中のシェル。人のかわりに打ち、画面に出たものを読む。"""
import os
import re
import shutil
import signal
import time

import pexpect

# 端末への命令 (色、カーソル) と、ベル
ESCAPES = re.compile(r'\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[=>()][0B]?|\x07')
AT_PROMPT = re.compile(r'(?:^|\n)((?:[~/]\S* )?[$#>] )$')
SETTLE = 0.02                     # プロンプトのあと、これだけ静かなら終わり [s]
# 動き続けるコマンドは、これだけプロセスの増減がなければ、動き出したとみなす [s]。
# ソフトウェアで動く仮想マシン (VM=1) は、10 倍ほど遅い
STEADY = 0.2 * (10 if os.environ.get('VM') else 1)


def clean(raw):
    # sudo の端末を通ると、改行が \r\r\n になることがある
    text = re.sub(r'\r+\n', '\n', ESCAPES.sub('', raw))
    return '\n'.join(line.rsplit('\r', 1)[-1] for line in text.split('\n'))


class Stuck(Exception):
    """待っているものは、もう来ない。"""


class Terminal:
    def __init__(self, argv, owner, limit):
        self.raw = self.echo = self.prompt = ''
        # 端末は root が作る。シェルが /dev/stdout を開けるように、所有者を変える
        self.child = pexpect.spawn(
            argv[0], argv[1:], dimensions=(30, 100), encoding='utf-8', codec_errors='replace',
            preexec_fn=lambda: shutil.chown(os.ttyname(0), owner))
        self.child.delaybeforesend = None
        self.child.ptyproc.delayafterclose = 0
        self.limit = 60               # シェルが動き出すまでに待つ時間 [s]
        self.wait(self.at_prompt)
        self.take()
        self.limit = limit            # 1 つのコマンドを待つ時間 [s]

    def type(self, text, control=False):
        self.prompt, self.echo = '', text
        if control:                   # ^C
            self.child.sendcontrol(text[1])
        elif text:
            self.child.send(text + '\r')

    def read(self, timeout):
        """何か来れば読む。来なければ False。"""
        try:
            self.raw += self.child.read_nonblocking(65536, timeout)
        except pexpect.TIMEOUT:
            return False
        except pexpect.EOF as ended:
            raise Stuck('the shell has ended') from ended
        return True

    def wait(self, done):
        """done() が真になるまで読む。"""
        end = time.monotonic() + self.limit
        while not done():
            if time.monotonic() > end:
                raise Stuck(f'nothing more came in {self.limit:g} s')
            self.read(0.02)

    def at_prompt(self):
        found = AT_PROMPT.search(clean(self.raw))
        if not found or self.read(SETTLE):
            return False
        self.prompt = found[1]
        return True

    def lines(self):
        """今までに出た行。打った行の反響と、終わりのプロンプトを除く。"""
        text = clean(self.raw)
        if self.echo and text.startswith(self.echo):
            text = text.partition('\n')[2]
        text = text.removesuffix(self.prompt).removesuffix('\n')
        return [line.rstrip() for line in text.split('\n')] if text else []

    def take(self):
        """lines() を返し、ここまでの画面を忘れる。"""
        lines, self.raw = self.lines(), ''
        return lines

    def wait_running(self, before):
        """before にないプロセスができて、しばらく増減がなくなるまで待つ。"""
        def settled():
            now = processes()
            return now - before and not self.read(STEADY) and now == processes()
        self.wait(lambda: self.at_prompt() or settled())

    def close(self):
        """端末を閉じる。シェルが自分のジョブを終わらせるのを、5 秒まで待つ。"""
        self.child.kill(signal.SIGHUP)
        end = time.monotonic() + 5
        while self.child.isalive() and time.monotonic() < end:
            time.sleep(0.005)
        self.child.close()            # まだいれば、SIGKILL を送る


def processes():
    return {name for name in os.listdir('/proc') if name.isdigit()}
