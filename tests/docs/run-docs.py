#!/usr/bin/python3 -Bu
"""手引きとスライドに書いたコマンドを、本物の端末で書いたとおりに打つ。

  run-docs.py [DOC...]              出たものが、書いてあるとおりか調べる
  run-docs.py --ablations [DOC...]  「この 1 行を消すと」を、本当に消して調べる
  run-docs.py --update [DOC...]     出たものに書き直す

DOC は 05 のような番号か、09-oci か、README。文書 1 つごとに、名前空間と cgroup を分けた使い捨
てのホストを作る。書き方は CONTRIBUTING.ja.md にある。
"""
import argparse
import collections
import concurrent.futures
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import time

try:
    import parse
    import run
except ImportError as missing:
    sys.exit(f'run-docs.py: {missing}\n  ヒント: make setup-docs で入ります')

LIMIT = 400 if os.environ.get('VM') else 120    # 1 つのコマンドを待つ時間の上限 [s]


def documents(selected):
    """文書のパスの並び。"""
    found = []
    for name in selected or ['README'] + [f'{n:02}' for n in range(10)] + ['09-oci']:
        paths = ['README.ja.md'] if name == 'README' else sorted(
            glob.glob(f'steps/{name.replace("-oci", "")}-*/{"oci/" * name.endswith("-oci")}README.ja.md') +
            glob.glob(f'slides/{name}.md'))
        if not paths:
            sys.exit(f'run-docs.py: no such document: {name}\n'
                     '  ヒント: DOC=05 のように、2 桁の番号で選びます')
        found += paths
    return found


def run_unit(unit):
    """遅い仮想マシンの中だけは、失敗するともう 1 度試す。そのことは表に出る。"""
    start = time.monotonic()
    try_unit = run_in_host if unit['ablation'] is None else ablate
    result = try_unit(unit)
    if result['failures'] and os.environ.get('VM'):
        first = result['failures'][0]
        result = try_unit(unit)
        result['skips'].append(f'(second try) the first one failed: {first}')
    return {**result, 'seconds': time.monotonic() - start}


def ablate(unit):
    """行を消したプログラムで症状が出て、消さないプログラム (対照) では出ないか。"""
    result = {**run_in_host(unit), 'blocks': 1}
    if not result['failures']:
        # 対照でも出るなら、同じくらいの時間で出る
        limit = max(2, 5 * result['slowest'])
        control = run_in_host({**unit, 'keep': True, 'limit': limit})
        if control['broken']:
            result['failures'] = control['failures']
        elif not control['failures']:
            result['failures'] = ['the program with the line shows the same: it proves nothing']
    return result


def run_in_host(unit):
    """1 つの使い捨てのホストで動かし、結果を受け取る。"""
    with tempfile.TemporaryDirectory(prefix='docs-') as directory:
        name = os.path.basename(directory)        # ほかと重ならない
        done = subprocess.run(
            ['tests/host/host.sh', '--eth0', '--cgroup', name, '--attendee', directory,
             *([] if unit['ablation'] is None else ['--built']), '/usr/bin/python3', '-B', 'tests/docs/run.py', json.dumps(unit)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    left = remove_cgroups(name)
    if done.returncode != 0:
        return {'failures': [f'the host failed ({done.returncode}): {done.stdout}{done.stderr}'],
                'blocks': 0, 'commands': 0, 'skips': [], 'differs': 0, 'updates': [],
                'broken': True}
    result = json.loads(done.stdout.splitlines()[-1])
    result['failures'] += left if unit['ablation'] is None else []
    return {**result, 'broken': False}


def remove_cgroups(name):
    """文書のために作った cgroup を消す。中に残りがあれば、その文を返す。"""
    # systemd は、net_cls から net_cls,net_prio へのように、リンクも置く
    found = {f'{os.path.realpath(path)}/'
             for path in glob.glob(f'/sys/fs/cgroup/*/{name}/**/', recursive=True)}
    for directory in sorted(found, reverse=True):
        os.rmdir(directory)
    return [f'left behind: cgroup {directory}' for directory in found
            if not directory.endswith((f'/{name}/', '/container-steps/'))]


def update(path, changes):
    lines = parse.Document(path).lines
    for start, end, new in reversed(changes):
        lines[start:end] = new
    with open(path, 'w', encoding='utf-8') as target:
        target.write('\n'.join(lines))


def report(unit, result):
    """表の 1 行。ablation なら、ステップ、消した行、症状。"""
    word = 'FAILED' if result['failed'] else 'updated' if result['failures'] else 'ok'
    if unit['ablation'] is None:
        print(f'{unit["path"]:36} {result["blocks"]:3} blocks {result["commands"]:4} commands'
              f' {len(result["skips"]):2} skipped  {word:6} {result["seconds"]:6.1f} s')
    else:
        ablation = parse.Document(unit['path']).ablations[unit['ablation']]
        deleted = ' '.join(line[1:].strip() for line in ablation.edit.lines
                           if line.startswith('-'))
        print(f'{unit["step"]}  {word:6} {deleted}\n'
              f'            {ablation.title} ({result["seconds"]:.1f} s)')
    for text in result['skips'] + result['failures']:
        print('    ' + text.replace('\n', '\n    '))


def run_all(options):
    os.chdir(run.TOP)
    paths = documents(options.doc)
    units = []
    for path in paths:
        step = (re.findall(r'/(0\d)', path) + ['00'])[0] + '-oci' * ('oci' in path)
        indexes = range(len(parse.Document(path).ablations)) if options.ablations else [None]
        units += [{'path': path, 'step': step, 'ablation': index, 'keep': False,
                   'limit': LIMIT, 'patience': options.patience} for index in indexes]
    # 待つ時間が長いので、CPU より多く並べる。cgroup v2 は分けられないので、1 つずつ
    workers = 2 * os.cpu_count() if run.cgroup_version() == '1' else 1
    total, differs, failures = collections.Counter(), set(), []
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        # 長い文書から始めると、最後に 1 つだけを待つことが少ない
        futures = {id(unit): pool.submit(run_unit, unit) for unit in
                   sorted(units, key=lambda unit: os.path.getsize(unit['path']), reverse=True)}
        for unit in units:
            result = futures[id(unit)].result()
            failed = len(result['failures'])
            if options.update:          # 書き直した出力は、もう失敗ではない
                failed -= result['differs']
                update(unit['path'], result['updates'])
            result['failed'] = failed
            if failed:
                failures.append((unit, result))
            else:
                report(unit, result)
            if result['differs']:
                differs.add(unit['step'] if '/' in unit['path'] else 'README')
            total.update(passed=max(0, result['blocks'] - failed), failed=failed,
                         skipped=len(result['skips']))
    for unit, result in failures:       # CI が見せるのは、記録の終わりだけ
        report(unit, result)
    for path in paths if options.ablations else []:
        count = sum(unit['path'] == path for unit in units)
        if path.startswith('steps/') and count < 3:
            print(f'{path}: {count} ablations, at least 3 are needed')
            total['failed'] += 1
    print(f'{total["passed"]} passed, {total["failed"]} failed, {total["skipped"]} skipped')
    doc = f'DOC="{" ".join(sorted(differs))}"'
    if differs and options.update:
        print(f'  ヒント: git diff で読み、make test-docs {doc} で確かめます')
    elif differs and not options.ablations:
        print(f'  ヒント: 出たもののほうが正しければ、make docs-update {doc}')
    return total['failed'] > 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--ablations', action='store_true')
    parser.add_argument('--update', action='store_true')
    parser.add_argument('--patience', type=float, default=5, metavar='S',
                        help='how long to wait until nothing is left behind')
    parser.add_argument('doc', nargs='*')
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit('run-docs.py: must be root\n  ヒント: make test-docs (sudo は make が付けます)')
    sys.exit(run_all(options))


main()
