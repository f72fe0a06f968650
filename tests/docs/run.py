"""使い捨てのホストの中で、1 つの文書を上から順に動かす。run-docs.py が呼ぶ。"""
import contextlib
import glob
import json
import os
import re
import subprocess
import sys
import time

import match
import parse
import terminal

TOP = os.path.abspath(f'{__file__}/../../..')
# Python は SIGPIPE を無視している。シェルに受け継がせない
AS_ATTENDEE = ['setpriv', '--reuid=attendee', '--regid=attendee', '--init-groups',
               '--reset-env', 'env', '--default-signal',
               'SHELL=/bin/bash', 'TERM=xterm', 'LANG=C.UTF-8']
SHELL = ['bash', '--noprofile', '--rcfile', '../.docsrc', '--noediting']
# 終わったときに元に戻っているべきもの
STATE = {
    'network links': 'ls /sys/class/net',
    'network namespaces': 'ls /run/netns',
    # systemd のサービスは、文書と関係なく、始まり、終わる
    'cgroups': 'find /sys/fs/cgroup -name *.service -prune -o -type d -not -name container-steps* -print',
    # 初めからいたものは除く。eth0 の相手の端を持つものは、まだ exec の前かもしれない
    'processes': f'ps -N --ppid {os.getpid()} -p {",".join(terminal.processes())} -o pid=,comm=',
    'mounts': 'findmnt -rno TARGET',
}


class Stop(Exception):
    """この先を動かしても意味がない。"""


class Runner:
    def __init__(self, tokens, unit):
        self.matcher = match.Matcher(tokens)
        self.unit = unit
        self.terminals = {}
        self.result = {'blocks': 0, 'commands': 0, 'slowest': 0,
                       'skips': [], 'failures': [], 'differs': 0, 'updates': []}

    def run(self, events):
        with contextlib.suppress(Stop):
            for event in events:
                self.event(event)
        for screen in self.terminals.values():
            screen.close()

    def event(self, event):
        if isinstance(event, parse.Edit):
            edit_file(self.unit, event)
        elif event.skip:
            self.result['skips'].append(f'line {event.start}: {event.skip}')
        elif event.version and event.version != cgroup_version():
            self.result['skips'].append(f'line {event.start}: needs cgroup v{event.version}')
        else:
            self.block(event)

    # --- 1 つの囲み -----------------------------------------------------------
    def block(self, block):
        self.result['blocks'] += 1
        new = []
        for item, after in zip(block.items, block.items[1:] + [None]):
            runs_on = not after.prompt if after else block.running
            start = time.monotonic()
            new += self.item(block, item, runs_on)
            self.result['slowest'] = max(self.result['slowest'], time.monotonic() - start)
        self.result['updates'].append(
            (block.start, block.end, [(block.indent + line).rstrip() for line in new]))

    def item(self, block, item, runs_on):
        """打って、待って、比べる。文書に書くべき行を返す。"""
        screen = self.terminal(block.terminal or '1')
        where = f'line {block.start}: {item.text or "(output)"}'
        try:
            self.type(screen, item, runs_on)
        except terminal.Stuck as stuck:
            self.fail(where, str(stuck), item.expected, screen.lines())
            raise Stop from stuck
        actual = screen.take()
        head = [item.prompt + item.text] if item.text else []
        if not self.matcher.match(item.expected, actual):
            self.result['differs'] += 1
            self.fail(where, 'the output differs', item.expected, actual)
            return head + self.matcher.updated(item.expected, actual)
        if runs_on and screen.prompt:
            self.fail(where, 'it does not run on')
        return head + item.expected

    def type(self, screen, item, runs_on):
        if item.prompt:
            self.result['commands'] += 1
            if screen.prompt != item.prompt:
                raise terminal.Stuck(f'the prompt is {screen.prompt!r}, not {item.prompt!r}')
        before = terminal.processes()
        text = self.matcher.typed(item.text)
        screen.type(text, control=text and not item.prompt)
        if not runs_on:
            screen.wait(screen.at_prompt)
        elif item.expected:
            # プロンプトが出れば、もう何も来ない
            screen.wait(lambda: screen.raw.endswith('\n') and self.matcher.values(
                item.expected, screen.lines()) is not None or screen.at_prompt())
        else:
            screen.wait_running(before)

    def fail(self, where, what, expected=(), actual=()):
        text = [f'{where}: {what}']
        if expected or actual:
            wrong, right = self.matcher.first_difference(expected, actual)
            text += [f'  document: {wrong}', f'  terminal: {right}']
            text += ['  the whole output:'] + [f'  | {line}' for line in actual]
        self.result['failures'].append('\n'.join(text))
        if self.unit['ablation'] is not None:     # 症状が違うことは、もう分かった
            raise Stop

    def terminal(self, number):
        if number not in self.terminals:
            self.terminals[number] = terminal.Terminal(
                AS_ATTENDEE + SHELL, 'attendee', self.unit['limit'])
        return self.terminals[number]


# --- 使い捨てのホスト -----------------------------------------------------------
def cgroup_version():
    """cpu コントローラーの版。"""
    with open('/proc/self/mounts', encoding='utf-8') as mounts:
        return '1' if re.search(r' cgroup \S*\bcpu\b', mounts.read()) else '2'


def edit_file(unit, edit):
    number, _, more = unit['step'].partition('-')     # 09-oci は、09 の続き
    path = edit.path or glob.glob(f'steps/{number}-*/{more}/main.c')[0]
    with open(path, 'r+', encoding='utf-8') as file:
        text = parse.apply_edit(file.read(), edit)
        file.seek(0)
        file.truncate()
        file.write(text)


def host_state():
    # /tmp の下には、ほかで作られたマウントが隠れている。突然消えることがある
    return {(kind, line) for kind, command in STATE.items() for line in subprocess.run(
        command.split(), stdout=subprocess.PIPE, text=True, check=False).stdout.splitlines()
            if not line.startswith('/tmp/')}


def leftovers(before, patience):
    """片付くのを patience 秒まで待つ。残っていれば、その文を返す。"""
    end = time.monotonic() + patience
    while (now := host_state()) != before and time.monotonic() < end:
        time.sleep(0.02)
    return [f'left behind, {kind}: {line}' for kind, line in sorted(now - before)] + \
        [f'missing at the end, {kind}: {line}' for kind, line in sorted(before - now)]


def delete_line(unit, edit):
    """行を消したプログラムを作る。作れなければ、消す行が悪い。"""
    edit_file(unit, edit)
    built = subprocess.run(AS_ATTENDEE + ['make', f'step{unit["step"]}'],
                           capture_output=True, text=True, check=False)
    if built.returncode != 0:
        sys.exit(f'line {edit.line}: it does not build\n{built.stdout}{built.stderr}')


def run(unit):
    """文書か、「この 1 行を消すと」の 1 つを動かす。keep なら、行を消さない (対照)。"""
    document = parse.Document(unit['path'])
    runner = Runner(document.tokens, unit)
    if unit['ablation'] is not None:
        ablation = document.ablations[unit['ablation']]
        if not unit['keep']:
            delete_line(unit, ablation.edit)
        runner.run(ablation.events)
    else:
        before = host_state()
        runner.run(document.events)
        runner.result['failures'] += leftovers(before, unit['patience'])
    return runner.result


if __name__ == '__main__':
    print(json.dumps(run(json.loads(sys.argv[1]))))
