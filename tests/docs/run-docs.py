#!/usr/bin/env python3
"""手引きとスライドに書いたコマンドを、本物の端末で書いたとおりに打つ。

  run-docs.py [DOC...]              出たものが、書いてあるとおりか調べる
  run-docs.py --ablations [DOC...]  「この 1 行を消すと」を、本当に消して調べる
  run-docs.py --update [DOC...]     出たものに書き直す

DOC は 05 のような番号か、README。文書 1 つごとに、名前空間と cgroup を分けた使い捨
てのホストを作る。書き方は CONTRIBUTING.ja.md にある。
"""
import argparse
import concurrent.futures
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True

import parse  # noqa: E402
import run  # noqa: E402

# 1 つのコマンドを待つ時間の上限 [s]。対照は、止まることもある
LIMIT = 400 if os.environ.get('VM') else 120
CONTROL_LIMIT = LIMIT / 12


def documents(selected):
    """(見出し, パス) の並び。"""
    found = []
    for name in selected or ['README'] + [f'{n:02}' for n in range(10)]:
        if name == 'README':
            paths = ['README.ja.md']
        else:
            paths = sorted(glob.glob(f'steps/{name}-*/README.ja.md') +
                           glob.glob(f'slides/{name}.md'))
        if not paths:
            sys.exit(f'run-docs.py: no such document: {name}\n'
                     '  ヒント: DOC=05 のように、2 桁の番号で選びます')
        found += paths
    return found


def step_of(path):
    found = re.search(r'(?:steps|slides)/(0\d)', path)
    return found[1] if found else '00'


def read(path):
    with open(os.path.join(TOP, path), encoding='utf-8') as source:
        return source.read()


# --- 外: 単位を並べて動かす -----------------------------------------------------
def run_unit(unit):
    """遅い仮想マシンの中だけは、失敗するともう 1 度試す。そのことは表に出る。"""
    result = try_unit(unit)
    if result['failures'] and os.environ.get('VM'):
        first = result['failures'][0]
        result = try_unit(unit)
        result['skips'].append(f'(second try) the first one failed: {first}')
    return result


def try_unit(unit):
    """1 つの使い捨てのホストで動かし、結果を受け取る。"""
    name = f'docs-{os.getpid()}-{unit["number"]}'
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='docs-') as directory:
        done = subprocess.run(
            [f'{TOP}/tests/host/host.sh', '--eth0', '--cgroup', name, '--attendee', directory,
             '/usr/bin/python3', 'tests/docs/run-docs.py', '--inside', json.dumps(unit)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    try:
        result = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        result = {'failures': [f'the sandbox failed ({done.returncode}): '
                               f'{done.stdout}{done.stderr}'],
                  'blocks': 0, 'commands': 0, 'skips': [], 'updates': []}
    result['failures'] += remove_cgroups(name)
    result['seconds'] = time.monotonic() - start
    return result


def remove_cgroups(name):
    """文書のために作った cgroup を消す。中に残りがあれば、その文を返す。"""
    problems = []
    for top in glob.glob(f'/sys/fs/cgroup/*/{name}'):
        for directory, _, _ in os.walk(top, topdown=False):
            if directory != top and not directory.endswith('/container-steps'):
                problems.append(f'left behind: cgroup {directory[len(top):]}')
            for _ in range(100):
                try:
                    os.rmdir(directory)
                    break
                except OSError:
                    time.sleep(0.02)
    return problems


def plan(paths, ablations):
    units = []
    for path in paths:
        if not ablations:
            units.append({'path': path, 'ablation': None, 'keep': False})
            continue
        for index in range(len(parse.parse(read(path)).ablations)):
            for keep in (False, True):
                units.append({'path': path, 'ablation': index, 'keep': keep})
    for number, unit in enumerate(units):
        unit['number'] = number
    return units


def update(path, changes):
    lines = read(path).split('\n')
    for start, end, new in sorted(changes, reverse=True):
        lines[start:end] = new
    full = os.path.join(TOP, path)
    with open(full, 'w', encoding='utf-8') as target:
        target.write('\n'.join(lines))


def report_document(unit, result):
    word = 'FAILED' if result['failures'] else 'ok'
    print(f'{unit["path"]:36} {result["blocks"]:3} blocks {result["commands"]:4} commands'
          f' {len(result["skips"]):2} skipped  {word:6} {result["seconds"]:6.1f} s', flush=True)
    for text in result['skips'] + result['failures']:
        print('    ' + text.replace('\n', '\n    '), flush=True)


def report_ablation(unit, result, control):
    """表の 1 行: ステップ、消した行、症状。対照は、同じになってはいけない。"""
    problems = list(result['failures'])
    if not problems and not control['failures']:
        problems = ['the program with the line shows the same: it proves nothing']
    document = parse.parse(read(unit['path']))
    ablation = document.ablations[unit['ablation']]
    deleted = ' '.join(line[1:].strip() for line in ablation.edit.lines
                       if line.startswith('-'))
    print(f'{step_of(unit["path"])}  {"FAILED" if problems else "ok":6} {deleted}\n'
          f'            {ablation.title}', flush=True)
    for text in problems:
        print('    ' + text.replace('\n', '\n    '), flush=True)
    return bool(problems)


def too_few(paths, units):
    """手引きには、少なくとも 3 つの「この 1 行を消すと」がある。"""
    wrong = []
    for path in paths:
        count = sum(unit['path'] == path for unit in units) // 2
        if path.startswith('steps/') and count < 3:
            wrong.append(f'{path}: {count} ablations, at least 3 are needed')
    return wrong


def outside(options):
    os.chdir(TOP)
    paths = documents(options.doc)
    units = plan(paths, options.ablations)
    # cgroup v2 は分けられないので、1 つずつ動かす
    workers = os.cpu_count() if run.cgroup_version() == '1' else 1
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        results = pool.map(run_unit, units)
        if options.ablations:
            failed, passed, skipped = 0, 0, 0
            for unit, result, control in zip(units[::2], results, results):
                bad = report_ablation(unit, result, control)
                failed, passed = failed + bad, passed + (not bad)
            for text in too_few(paths, units):
                print(text)
                failed += 1
        else:
            failed, passed, skipped = run_documents(units, results, options.update)
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    return failed > 0


def run_documents(units, results, rewrite):
    failed, passed, skipped = 0, 0, 0
    for unit, result in zip(units, results):
        report_document(unit, result)
        if rewrite and result['updates']:
            update(unit['path'], result['updates'])
        skipped += len(result['skips'])
        failed += len(result['failures'])
        passed += max(0, result['blocks'] - len(result['failures']))
    return failed, passed, skipped


# --- 中 ------------------------------------------------------------------------
def prepare(path, step):
    """その文書を読む人の手元と同じだけ、作っておく。"""
    if path.startswith('slides/'):
        return
    unbuilt = glob.glob('step0[1-9]') + glob.glob('build/step0[1-9].o')
    for name in unbuilt:
        if re.search(r'step(0\d)', name)[1] >= step:
            os.remove(name)
    if step <= '01':
        subprocess.run(['rm', '-rf', 'build'], check=True)
    if step <= '06':
        subprocess.run(['rm', '-rf', 'rootfs/fs', 'rootfs/fs.kind', 'build/demo'],
                       check=True)


def inside(unit):
    path, step = unit['path'], step_of(unit['path'])
    document = parse.parse(read(path))
    if unit['ablation'] is None:
        prepare(path, step)
        runner, problems = run.run_document(document, step, LIMIT)
    else:
        runner, problems = run.run_ablation(
            document, document.ablations[unit['ablation']], step,
            CONTROL_LIMIT if unit['keep'] else LIMIT, unit['keep'])
    result = {'blocks': 0, 'commands': 0, 'skips': [], 'updates': [], 'failures': problems}
    if runner:
        result.update(runner.counts)
        result.update(skips=runner.skips, failures=runner.failures + problems,
                      updates=[[*where, new] for where, new in runner.updates.items()])
    print(json.dumps(result))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--ablations', action='store_true')
    parser.add_argument('--update', action='store_true')
    parser.add_argument('--inside', type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument('doc', nargs='*')
    options = parser.parse_args()
    if options.inside:
        inside(options.inside)
        return
    if os.geteuid() != 0:
        sys.exit('run-docs.py: must be root\n  ヒント: make test-docs (sudo は make が付けます)')
    sys.exit(outside(options))


main()
