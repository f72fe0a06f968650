"""本物の端末 (pty) の中のシェル。人のかわりに打ち、画面に出たものを読む。"""
import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

ROWS, COLUMNS = 30, 100
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


class Timeout(Exception):
    pass


class Terminal:
    def __init__(self, argv, environment, directory, user, limit):
        self.limit = limit            # 1 つのコマンドを待つ時間 [s]
        self.raw = ''
        self.decode = codecs.getincrementaldecoder('utf-8')('replace').decode
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            become(user)
            os.chdir(directory)
            os.execve(argv[0], argv, environment)
        size = struct.pack('HHHH', ROWS, COLUMNS, 0, 0)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, size)
        self.prompt = None
        self.wait_prompt()
        self.take()

    def type(self, text):
        os.write(self.fd, text.encode())

    def read(self, timeout):
        """何か来れば読む。来なければ False。"""
        if not select.select([self.fd], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:               # 端末の中のプロセスがすべて終わった
            data = b''
        self.raw += self.decode(data)
        return bool(data)

    def wait(self, done):
        """done() が真になるまで読む。"""
        end = time.monotonic() + self.limit
        while not done():
            if time.monotonic() > end:
                raise Timeout(f'nothing more came in {self.limit:g} s')
            self.read(0.02)

    def at_prompt(self):
        found = AT_PROMPT.search(clean(self.raw))
        if not found or self.read(SETTLE):
            return False
        self.prompt = found[1]
        return True

    def wait_prompt(self):
        self.prompt = None
        self.wait(self.at_prompt)

    def lines(self, echo=''):
        """今までに出た行。打った行の反響と、終わりのプロンプトを除く。"""
        text = clean(self.raw)
        if echo and text.startswith(echo):
            text = text[len(echo):].partition('\n')[2]
        if self.prompt is not None:
            text = text[:len(text) - len(self.prompt)]
        lines = text.split('\n')
        if lines and lines[-1] == '':
            lines.pop()
        return [line.rstrip() for line in lines]

    def take(self):
        """ここまでの画面を忘れる。"""
        self.raw = ''

    def wait_running(self, before):
        """新しいプロセスができて、しばらく増減がなくなるまで待つ。"""
        seen, since = before, time.monotonic()

        def settled():
            nonlocal seen, since
            now = processes()
            if now != seen or self.read(0.02):
                seen, since = now, time.monotonic()
            return seen - before and time.monotonic() - since > STEADY
        self.wait(settled)

    def close(self):
        """端末を閉じる。中のプロセスには SIGHUP が届く。"""
        os.close(self.fd)
        end = time.monotonic() + 5
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                return
            time.sleep(0.01)


def processes():
    return {name for name in os.listdir('/proc') if name.isdigit()}


def become(user):
    # Python が無視しているシグナルを、シェルに受け継がせない
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.chown(os.ttyname(0), user.pw_uid, -1)
    os.initgroups(user.pw_name, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
