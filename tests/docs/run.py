"""使い捨てのホストの中で、1 つの文書を上から順に動かす。"""
import glob
import os
import pwd
import re
import subprocess
import time

import match
import parse
import terminal

HOME = '/home/attendee'
TOP = f'{HOME}/workshop'
ENVIRONMENT = {
    'HOME': HOME, 'USER': 'attendee', 'LOGNAME': 'attendee', 'SHELL': '/bin/bash',
    'PATH': '/usr/local/bin:/usr/bin:/bin', 'TERM': 'xterm', 'LANG': 'C.UTF-8',
}
SHELL = ['/bin/bash', '--noprofile', '--rcfile', f'{HOME}/.docsrc', '--noediting']


class Stop(Exception):
    """この先を動かしても意味がない。"""


class Runner:
    def __init__(self, document, step, limit):
        self.matcher = match.Matcher(document.tokens)
        self.step = step
        self.limit = limit
        self.terminals = {}
        self.failures = []            # 文
        self.updates = {}             # (始まり, 終わり) -> 新しい行
        self.counts = {'blocks': 0, 'commands': 0}
        self.skips = []               # 理由

    def run(self, events):
        try:
            for event in events:
                self.event(event)
        except Stop:
            pass
        self.close()

    def event(self, event):
        if event == 'new terminals':
            self.close()
        elif isinstance(event, parse.Edit):
            edit_file(self.step, event)
        elif event.skip:
            self.skips.append(f'line {event.start}: {event.skip}')
        elif event.version and event.version != cgroup_version():
            self.skips.append(f'line {event.start}: needs cgroup v{event.version}')
        else:
            self.block(event)

    # --- 1 つの囲み -----------------------------------------------------------
    def block(self, block):
        self.counts['blocks'] += 1
        new = []
        for index, item in enumerate(block.items):
            after = block.items[index + 1:index + 2]
            runs_on = after[0].kind == 'control' if after else block.running
            new += self.item(block, item, runs_on)
        self.updates[block.start, block.end] = [
            (block.indent + line).rstrip() for line in new]

    def item(self, block, item, runs_on):
        """打って、待って、比べる。文書に書くべき行を返す。"""
        screen = self.terminal(block.terminal)
        where = f'line {block.start}: {item.text or "(output)"}'
        before = terminal.processes()
        typed = self.type(screen, item, where)
        try:
            self.wait(screen, item, typed, runs_on, before)
        except terminal.Timeout as timeout:
            self.fail(where, str(timeout), item.expected, screen.lines(typed))
            raise Stop from timeout
        actual = screen.lines(typed)
        screen.take()
        head = [item.prompt + item.text] if item.text else []
        if self.matcher.match(item.expected, actual):
            return head + item.expected
        self.fail(where, 'the output differs', item.expected, actual)
        return head + [self.matcher.written(line) for line in actual]

    def type(self, screen, item, where):
        if item.kind == 'type':
            if screen.prompt != item.prompt:
                self.fail(where, f'the prompt is {screen.prompt!r},'
                          f' not {item.prompt!r}', [], [])
                raise Stop
            self.counts['commands'] += 1
            typed = self.matcher.typed(item.text)
            screen.prompt = None
            screen.type(typed + '\r')
            return typed
        screen.prompt = None
        if item.kind == 'control':
            screen.type(parse.CONTROLS[item.text])
            return item.text
        return ''

    def wait(self, screen, item, typed, runs_on, before):
        if not runs_on:
            screen.wait_prompt()
        elif item.expected:
            screen.wait(lambda: self.matching(item, screen, typed))
            if not screen.raw.endswith('\n'):
                screen.read(terminal.STEADY)      # 改行が、遅れて届くことがある
        else:
            screen.wait_running(before)

    def matching(self, item, screen, typed):
        return self.matcher.match_lines(item.expected, screen.lines(typed),
                                        self.matcher.bound) is not None

    def fail(self, where, what, expected, actual):
        text = [f'{where}: {what}']
        if expected or actual:
            wrong, right = self.matcher.first_difference(expected, actual)
            text += [f'  document: {wrong}', f'  terminal: {right}']
            text += ['  the whole output:'] + [f'  | {line}' for line in actual]
        self.failures.append('\n'.join(text))

    # --- 端末 -----------------------------------------------------------------
    def terminal(self, number):
        if number not in self.terminals:
            user = pwd.getpwnam('attendee')
            self.terminals[number] = terminal.Terminal(
                SHELL, ENVIRONMENT, TOP, user, self.limit)
        return self.terminals[number]

    def close(self):
        for screen in self.terminals.values():
            screen.close()
        self.terminals = {}


# --- 使い捨てのホスト -----------------------------------------------------------
def cgroup_version():
    """cpu コントローラーの版。"""
    with open('/proc/self/mounts', encoding='utf-8') as mounts:
        for line in mounts:
            _, _, kind, options, *_ = line.split()
            if kind == 'cgroup' and 'cpu' in options.split(','):
                return '1'
    return '2'


def edit_file(step, edit):
    path = edit.path or glob.glob(f'{TOP}/steps/{step}-*/main.c')[0]
    path = os.path.join(TOP, path)
    with open(path, encoding='utf-8') as source:
        text = parse.apply_edit(source.read(), edit)
    with open(path, 'w', encoding='utf-8') as target:
        target.write(text)


def build(step):
    """行を消したプログラムを作る。作れなければ、消す行が悪い。"""
    done = subprocess.run(
        ['setpriv', '--reuid=attendee', '--regid=attendee', '--init-groups',
         'make', '-C', TOP, f'step{step}'],
        env=ENVIRONMENT, capture_output=True, text=True, check=False)
    return '' if done.returncode == 0 else done.stdout + done.stderr


def names(path):
    try:
        return set(os.listdir(path))
    except FileNotFoundError:
        return set()


def host_state():
    """終わったときに元に戻っているべきもの。"""
    groups = {directory for directory, _, _ in os.walk('/sys/fs/cgroup')
              if 'container-steps' not in directory.rsplit('/', 1)[-1]}
    return {
        'network links': names('/sys/class/net') | links(),
        'network namespaces': names('/run/netns'),
        'cgroups': groups,
        'processes': {describe(pid) for pid in terminal.processes()
                      if int(pid) != os.getpid()},
        'mounts': mounts(),
    }


def links():
    # /sys は、マウントしたときの名前空間を映す。だから /proc から読む
    with open('/proc/net/dev', encoding='utf-8') as table:
        return {line.split(':')[0].strip() for line in table if ':' in line}


def mounts():
    # /tmp の下には、ほかの人のマウントの写しが隠れている。突然消えることがある
    with open('/proc/self/mountinfo', encoding='utf-8') as table:
        return {point for point in (line.split()[4] for line in table)
                if not point.startswith('/tmp/')}


def describe(pid):
    """PID と名前。カーネルのスレッドと、もういないものは空。"""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8') as stat:
            name, rest = re.match(r'\d+ [(](.*)[)] (.*)', stat.read()).groups()
    except (OSError, AttributeError):
        return ''
    kernel_thread = int(rest.split()[6]) & 0x200000    # PF_KTHREAD
    return '' if kernel_thread else f'{pid} {name}'


def leftovers(before):
    """片付くのを 5 秒まで待つ。残っていれば、その文を返す。"""
    end = time.monotonic() + 5
    while True:
        now = host_state()
        extra = {kind: sorted(now[kind] - before[kind] - {''}) for kind in now}
        gone = {kind: sorted(before[kind] - now[kind] - {''})
                for kind in now if kind != 'processes'}
        if not any(extra.values()) and not any(gone.values()):
            return []
        if time.monotonic() > end:
            return [f'left behind, {kind}: {" ".join(what)}'
                    for kind, what in extra.items() if what] + \
                [f'missing at the end, {kind}: {" ".join(what)}'
                 for kind, what in gone.items() if what]
        time.sleep(0.05)


def run_document(document, step, limit):
    before = host_state()
    runner = Runner(document, step, limit)
    runner.run(document.events)
    return runner, leftovers(before)


def run_ablation(document, ablation, step, limit, keep):
    """keep なら、行を消さずに動かす (対照)。"""
    if not keep:
        edit_file(step, ablation.edit)
        problem = build(step)
        if problem:
            return None, [f'line {ablation.edit.line}: it does not build\n{problem}']
    runner = Runner(document, step, limit)
    runner.run(ablation.events)
    return runner, []
