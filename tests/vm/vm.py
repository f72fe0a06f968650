#!/usr/bin/python3
"""使い捨ての Debian を QEMU で起動する。root も /dev/kvm も要らない。

  vm.py shell  練習用のシェル。標準入力が端末でなければ、そこから読んだコマンドを動かす
  vm.py test   まっさらな Debian で、README の 2 つのコマンドを打つ

仮想マシンの ~/repo には、この教材のコピーが入る (コミット前の変更も)。共有にしないのは、
壊してよい場所にするため。中で変えたものは、終わるとすべて消える。

環境変数:
  SUITE=trixie|bookworm  ARCH=amd64|arm64  VM_ACCEL=tcg|kvm  VM_CPUS  VM_MEMORY
  VM_TIMEOUT=秒 (全体)   VM_APPEND=カーネルに足すコマンドライン
  VM_TEST=README の 2 つ目の代わりに打つコマンド  VM_ALSO=最後に打つコマンド
  VM_KIT=make kit で作ったファイル。教材とパッケージはそこから取り、ネットワークはない
"""
import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

import pexpect

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
SUITE = os.environ.get('SUITE', 'trixie')
ARCH = os.environ.get('ARCH', 'amd64')
TIMEOUT = int(os.environ.get('VM_TIMEOUT', 5400))
KIT = os.environ.get('VM_KIT')
STARTED = time.monotonic()

# ソフトウェアで動く CPU (TCG) は、機能の多いものほど遅い。番地がいつも同じなら、
# 翻訳したコードを使い回せる。この 2 つで fork と exec が 28 ms から 6 ms になった
MACHINES = {
    'amd64': ['qemu-system-x86_64', '-machine', 'q35', '-cpu', 'Nehalem'],
    'arm64': ['qemu-system-aarch64', '-machine', 'virt', '-cpu', 'cortex-a57'],
}
ACCELERATORS = {
    'tcg': ['-accel', 'tcg,thread=multi,tb-size=512'],
    'kvm': ['-accel', 'kvm', '-cpu', 'host'],
}
ACCEL = os.environ.get('VM_ACCEL', 'tcg')
CONSOLES = {'amd64': 'ttyS0', 'arm64': 'ttyAMA0'}
CMDLINE = ('root=LABEL=debvm rw quiet norandmaps nokaslr mitigations=off init_on_alloc=0 '
           'hardened_usercopy=off randomize_kstack_offset=off rcupdate.rcu_expedited=1')


def note(text):
    print(f'# {text}', file=sys.stderr, flush=True)


def die(text, hint):
    sys.exit(f'vm.py: {text}\n  ヒント: {hint}')


def left():
    """残りの秒数。timeout(1) は 0 を「無制限」と読むので、1 以上にする。"""
    return max(1, int(STARTED + TIMEOUT - time.monotonic()))


def tracked_files():
    """手元のファイルの tar。コミット前の変更も入る。"""
    files = subprocess.run(
        ['git', '-c', 'safe.directory=*', '-C', TOP, 'ls-files', '-z', '--cached', '--others',
         '--exclude-standard'], stdout=subprocess.PIPE, check=True).stdout
    there = b'\0'.join(name for name in files.split(b'\0')
                       if name and os.path.lexists(os.path.join(TOP.encode(), name)))
    return subprocess.run(['tar', '-C', TOP, '--null', '-T', '-', '-cf', '-'], input=there,
                          stdout=subprocess.PIPE, check=True).stdout


class Machine:
    """起動した仮想マシン。ログと ssh の設定は、build/vm/logs の下に置く。"""

    def __init__(self, kind):
        done = subprocess.run([f'{HERE}/image.sh', SUITE, ARCH, kind],
                              stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(done.returncode)
        self.image = done.stdout.strip()
        self.logs = f'{TOP}/build/vm/logs/{SUITE}-{ARCH}-{time.strftime("%H%M%S")}-{os.getpid()}'
        os.makedirs(self.logs)
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            self.port = probe.getsockname()[1]
        with open(f'{self.logs}/ssh_config', 'w', encoding='utf-8') as config:
            config.write(f'Host vm\nHostName 127.0.0.1\nPort {self.port}\nUser attendee\n'
                         f'IdentityFile "{self.image}/id"\nIdentitiesOnly yes\nBatchMode yes\n'
                         'NoHostAuthenticationForLocalhost yes\nLogLevel ERROR\n'
                         'ConnectTimeout 60\nServerAliveInterval 30\n')
        self.ready = False

    def log(self, name):
        return f'{self.logs}/{name}.log'

    def __enter__(self):
        boot = {name.split('-')[0]: f'{self.image}/boot/{name}'
                for name in os.listdir(f'{self.image}/boot')}
        command = MACHINES[ARCH] + ACCELERATORS[ACCEL] + [
            '-nodefaults', '-no-user-config',
            '-smp', os.environ.get('VM_CPUS', '2'), '-m', os.environ.get('VM_MEMORY', '2048'),
            '-display', 'none', '-no-reboot', '-serial', f'file:{self.log("console")}',
            '-kernel', boot['vmlinuz'], '-initrd', boot['initrd.img'], '-append',
            f'{CMDLINE} console={CONSOLES[ARCH]} {os.environ.get("VM_APPEND", "")}',
            '-drive', f'file={self.image}/root.ext4,format=raw,if=virtio,snapshot=on,cache=unsafe',
            '-netdev', f'user,id=n,hostfwd=tcp:127.0.0.1:{self.port}-:22' +
            (',restrict=on' if KIT else ''),
            '-device', 'virtio-net-pci,netdev=n', '-device', 'virtio-rng-pci']
        with open(self.log('qemu'), 'wb') as log:
            # 端末の Ctrl-C は届けず、このプログラムが突然終わったら一緒に終わらせる
            self.qemu = subprocess.Popen(
                ['setpriv', '--pdeathsig', 'KILL', *command], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def prepare(self):
        """ssh で入れるようになるのを待ち、手元のファイルか、キットの中身を置く。"""
        while self.ssh('true', stderr=subprocess.DEVNULL).returncode:
            if self.qemu.poll() is not None or left() == 1:
                with open(self.log('qemu'), encoding='utf-8') as log:
                    note(log.read())
                die('the VM did not boot', f'{self.log("console")} を見てください')
            time.sleep(0.5)
        self.ready = True
        note(f'boot: {time.monotonic() - STARTED:.0f} s')
        if KIT:
            # 出荷したときに取り寄せてあったものも使わせない
            unpack = ('tar -xf - && mv container-workshop repo && '
                      'sudo rm -rf /var/cache/apt/archives /var/lib/apt/lists')
            with open(KIT, 'rb') as source:
                done = subprocess.run(self.ssh_command('vm', unpack), stdin=source, check=False)
        else:
            unpack = (
                'mkdir repo && cd repo && tar -xf - --no-same-owner && git init -q -b main && '
                'git add -A && git -c user.name=vm -c user.email=vm@localhost commit -q -m workshop')
            done = subprocess.run(self.ssh_command('vm', unpack), input=tracked_files(),
                                  check=False)
        if done.returncode:
            die('could not copy the workshop into the VM', f'{self.logs} を見てください')

    def __exit__(self, *error):
        if error[0] and self.ready and self.qemu.poll() is None:
            with open(self.log('journal'), 'wb') as log:
                self.ssh('sudo journalctl -b --no-pager', limit=60, stdout=log)
        # 書き込みは名前のない一時ファイルに行くので、正しく止めなくてよい
        self.qemu.kill()
        self.qemu.wait()
        if error[0] in (None, KeyboardInterrupt):
            shutil.rmtree(self.logs)
        else:
            note(f'logs: {os.path.relpath(self.logs, TOP)}')

    def ssh_command(self, *words):
        return ['ssh', '-F', f'{self.logs}/ssh_config', *words]

    def ssh(self, command, limit=None, stdin=subprocess.DEVNULL, **options):
        """中でコマンドを動かし、終わるのを待つ。"""
        return subprocess.run(
            ['timeout', '--foreground', str(limit or left()), *self.ssh_command('vm', command)],
            stdin=stdin, check=False, **options)


def shell():
    """練習用のシェル。終了ステータスを返す。"""
    with Machine('ready') as vm:
        vm.prepare()
        enter = 'cd repo && exec bash -l'
        if not sys.stdin.isatty():
            status = vm.ssh(enter, stdin=None).returncode
            if status:
                sys.exit(status)
            return
        note('ここは捨てられる練習機です。exit で終わり、変更はすべて消えます')
        note('変更を持ち出すには、終わる前に別の端末で:')
        note(shlex.join(vm.ssh_command('vm', 'git -C repo diff')) + ' >練習.patch')
        subprocess.run(vm.ssh_command('-t', 'vm', enter), check=False)


class Report:
    """検査の結果を表示し、テストの数と合わせて数える。"""

    def __init__(self):
        self.counts = [0, 0, 0]

    def check(self, good, text):
        self.counts[0 if good else 1] += 1
        print(f'{"ok" if good else "not ok"} - vm {SUITE}: {text}', flush=True)

    def add(self, numbers):
        self.counts = [a + b for a, b in zip(self.counts, numbers)]


def readme_command(name):
    """README の印の、すぐ次の囲みの 1 行。"""
    with open(f'{TOP}/README.ja.md', encoding='utf-8') as readme:
        found = re.search(rf'<!-- command: {name} -->\n```\w*\n(.*)\n```\n', readme.read())
    if not found:
        die(f'README.ja.md: no command after <!-- command: {name} -->',
            '印のすぐ次に、打つコマンド 1 行だけの囲みを置きます')
    return found[1]


class Terminal:
    """仮想マシンの端末。README を読んだ人と同じように打つ。"""

    def __init__(self, vm):
        # TERM=dumb: 色や、括弧付きペーストの制御文字を混ぜない
        self.child = pexpect.spawn(
            'ssh', vm.ssh_command('-tt', 'vm')[1:], env={**os.environ, 'TERM': 'dumb'},
            encoding='utf-8', timeout=120, dimensions=(24, 80))
        self.child.logfile_read = open(vm.log('try'), 'w', encoding='utf-8')
        self.wait('[#$] $')

    def wait(self, pattern, limit=120):
        """画面の終わりに現れたら True。来ないか、切れたら False。"""
        return self.child.expect([pattern, pexpect.TIMEOUT, pexpect.EOF], timeout=limit) == 0

    def ask(self, command, prompt=r'\n[^\n]*[#$] $'):
        """打って、次のプロンプトまでに出たもの。初めの行は、打ったものの反響。"""
        self.child.sendline(command)
        if not self.wait(prompt):
            return 'no answer'
        return self.child.before.replace('\r', '').partition(command)[2].strip()


def only_own_processes(listing):
    """ps に、シェルと ps のほかは 1 つもないこと。"""
    lines = [line.split() for line in listing.splitlines() if line.strip()]
    head, rows = lines[0] if lines else [], lines[1:]
    column = head.index('PID') if 'PID' in head else 0
    return any(row[column] == '1' for row in rows) and all(
        re.fullmatch(r'(.*/)?-?(sh|dash|bash|ash|busybox|ps)', row[-1]) for row in rows)


def try_command(vm, report, command):
    """README の 1 つ目のコマンドは、コンテナのシェルで終わる。"""
    started = time.monotonic()
    terminal = Terminal(vm)
    # 終了ステータスの分かるプロンプトにする。export しないので、中には伝わらない
    terminal.child.sendline("cd repo && PS1='<<$?>> '")
    report.check(terminal.wait(r'\n<<0>> $'), 'a login shell on a terminal, in the repository')
    terminal.child.sendline(command)
    good = terminal.wait(r'\n([^\n<]*[#$]|<<\d+>>) $', left()) and '<<' not in terminal.child.after
    report.check(good, f"README: '{command}' ends in a shell")
    note(f"README's first command: {time.monotonic() - started:.0f} s")
    if not good:
        print(re.sub('^', '#   ', (terminal.child.before or '')[-2000:], flags=re.M))
        return
    for question, answer in ('echo $$', '1'), ('id -u', '0'):
        got = terminal.ask(question)
        report.check(got == answer, f"inside, '{question}' answers {answer} (got '{got}')")
    listing = terminal.ask('ps')
    report.check(only_own_processes(listing),
                 f"inside, 'ps' shows only the container's processes ({listing.split()[4:]})")
    terminal.child.sendline('exit')
    report.check(terminal.wait(r'\n<<0>> $'), "'exit' comes back with status 0")
    # 端末が壊れていれば、打ったものの反響か答えのどちらかが来ない
    got = terminal.ask('stty -a | grep -c " echo "', r'\n<<0>> $')
    report.check(got == '1', 'the terminal is as before')
    terminal.child.close()


def run_suite(vm, report, command):
    """テストを動かし、出たそばから流す。まとめの行の数を足す。"""
    started = time.monotonic()
    # 呼んだ人が決めた厳しさは、中でも同じにする
    names = [name for name in ('CI', 'REQUIRE_ALL', 'V') if os.environ.get(name)]
    settings = shlex.join(['VM=1'] + [f'{name}={os.environ[name]}' for name in names])
    script = f'cd repo && export {settings} && exec bash -lc {shlex.quote(command)}'
    child = subprocess.Popen(
        ['timeout', '--foreground', str(left()), *vm.ssh_command('vm', script)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    failed = 0
    with open(vm.log('suite'), 'ab') as log:
        for line in child.stdout:
            log.write(line)
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
            found = re.match(rb'(\d+) passed, (\d+) failed, (\d+) skipped', line)
            if found:
                report.add([int(number) for number in found.groups()])
                failed += int(found[2])
    status = child.wait()
    note(f'{command}: {time.monotonic() - started:.0f} s, status {status}')
    # 数を出さずに落ちた (ビルドの失敗、時間切れなど) のも 1 つの失敗
    if status and not failed:
        report.check(False, f'{command}: status {status}')


def test():
    command = readme_command('try')
    suites = [os.environ.get('VM_TEST') or readme_command('test')]
    if os.environ.get('VM_ALSO'):
        suites.append(os.environ['VM_ALSO'])
    report = Report()
    with Machine('bare') as vm:
        vm.prepare()
        vm.ssh('. /etc/os-release; echo "# $PRETTY_NAME, Linux $(uname -r)"')
        if KIT:
            # 10.0.2.2 は、中から見たこのマシン。qemu(1)
            outside = vm.ssh(f'timeout 10 bash -c ": </dev/tcp/10.0.2.2/{vm.port}"',
                             stderr=subprocess.DEVNULL)
            report.check(outside.returncode != 0, 'the network is cut')
        try_command(vm, report, command)
        for suite in suites:
            run_suite(vm, report, suite)
        print('{} passed, {} failed, {} skipped'.format(*report.counts), flush=True)
        note(f'total: {time.monotonic() - STARTED:.0f} s')
        if report.counts[1]:
            sys.exit(1)


def main():
    # mmdebstrap と QEMU は、パスをシェルや自分の書き方で読む
    if re.search(r'''[\s'",\\]''', TOP):
        die(f'the path has a blank, a quote or a comma: {TOP}',
            '仮想マシンを使うなら、そのような文字のない場所に置きます')
    if ARCH not in MACHINES or ACCEL not in ACCELERATORS or SUITE not in ('trixie', 'bookworm'):
        die(f'SUITE={SUITE} ARCH={ARCH} VM_ACCEL={ACCEL}: unknown machine',
            'SUITE は trixie か bookworm、ARCH は amd64 か arm64、VM_ACCEL は tcg か kvm です')
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    places = {'shell': shell, 'test': test}
    if len(sys.argv) != 2 or sys.argv[1] not in places:
        die('usage: vm.py shell|test', 'make vm か make vm-test から使います')
    with contextlib.suppress(KeyboardInterrupt):
        return places[sys.argv[1]]()
    sys.exit(130)


if __name__ == '__main__':
    main()
