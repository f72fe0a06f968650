// ページの比べ方 (match.mjs) は、make test-docs のもの (match.py) と同じか
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Matcher } from '../../site/match.mjs';

const TOP = fileURLToPath(new URL('../../..', import.meta.url));
const PYTHON = `
import json, sys
sys.path.insert(0, 'tests/docs')
from match import Matcher
for tokens, pairs in json.load(sys.stdin):
    matcher = Matcher(tokens)
    print(json.dumps([[matcher.match(*pair), matcher.bound, matcher.typed(' '.join(tokens)),
                       [] if matcher.match(*pair) else list(matcher.first_difference(*pair))] for pair in pairs]))
`;

const vary = (...words) => Object.fromEntries(words.map((word) => [word, 'vary']));
// [語, [[文書の行, 端末の行], ...]]。同じ Matcher で、順に比べる
const CASES = [
    [{}, [[[], []]]],
    [{}, [[[], ['x']]]],
    [{}, [[['x'], []]]],
    [{}, [[['a b'], ['a   b']]]],
    [{}, [[['a b'], ['ab']]]],
    [{}, [[['a\tb'], ['a b']]]],
    [{}, [[['  a'], ['a  ']]]],
    [{}, [[['a.c'], ['abc']]]],
    [{}, [[['[a] (b) {c} $d ^e |f \\g *h +i ?j'], ['[a] (b) {c} $d ^e |f \\g *h +i ?j']]]],
    [{}, [[['…'], []]]],
    [{}, [[['…'], ['a', 'b']]]],
    [{}, [[['…', 'z'], ['a', 'z', 'z']]]],
    [{}, [[['a', '…', 'z'], ['a', 'z']]]],
    [{}, [[['a … z'], ['a b c z']]]],
    [{}, [[['a…'], ['a']]]],
    [{}, [[['a', 'b', 'c'], ['a', 'x', 'c']]]],
    [{}, [[['a', 'b'], ['a', 'b', 'c']]]],
    [{}, [[['日本語 です'], ['日本語  です']]]],
    [vary('4523'), [[['PID は 4523 です'], ['PID は 77 です']], [['4523'], ['77']], [['4523'], ['78']]]],
    [vary('4523'), [[['4523 4523'], ['7 7']], [['4523 4523'], ['7 8']]]],
    [vary('4523'), [[['4523 4523'], ['7 8']]]],
    [vary('4523', '4524'), [[['4523', '4524'], ['7', '8']]]],
    [vary('4523', '4524'), [[['4523', '4524'], ['7', '7']]]],
    [vary('4523'), [[['4523'], ['seven']]]],
    [vary('45'), [[['4523'], ['4523']], [['45.5'], ['45.5']], [['45'], ['9']]]],
    [vary('debian'), [[['debian'], ['box']], [['debian-x'], ['box-x']]]],
    [vary('0x1f'), [[['0x1f'], ['0xab']], [['0x1f'], ['12']]]],
    [vary('4.5'), [[['4.5'], ['7.25']]]],
    [{ a: 'reuse', b: 'reuse' }, [[['a b'], ['x x']]]],
    [{ a: 'reuse', b: 'vary' }, [[['a b'], ['x x']]]],
    [{ a: 'vary', b: 'vary' }, [[['a b'], ['x x']]]],
    [{ 'pts/1': 'any' }, [[['sh pts/1'], ['sh pts/0']], [['pts/1'], ['hvc0']]]],
    [{ 'pts/1': 'any' }, [[['pts/1 pts/1'], ['a b']]]],
    [{ 5.0: 0.1 }, [[['5'], ['5']]]],
    [{ '5.0': 0.1 }, [[['5.0 s'], ['5.4 s']]]],
    [{ '5.0': 0.1 }, [[['5.0 s'], ['5.6 s']]]],
    [{ 100: 0.5 }, [[['100'], ['60']], [['100'], ['40']]]],
    [{ ...vary('4026531836'), 4026532191: 'reuse' }, [[['pid:[4026531836]', 'pid:[4026532191]'], ['pid:[1]', 'pid:[2]']]]],
    [{ ...vary('4026531836'), 4026532191: 'reuse' }, [[['pid:[4026531836]', 'pid:[4026532191]'], ['pid:[1]', 'pid:[1]']]]],
    [vary('4711'), [[['4711 …'], ['12 a b']], [['x 4711'], ['x 12']]]],
    [vary('a-b'), [[['a-b'], ['x']], [['xa-b'], ['xa-b']]]],
];

test('match.mjs answers as match.py does, and forgets nothing', () => {
    const { stdout, stderr, status } = spawnSync('/usr/bin/python3', ['-B', '-c', PYTHON],
        { cwd: TOP, input: JSON.stringify(CASES), encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    const wanted = stdout.trim().split('\n').map((line) => JSON.parse(line));
    CASES.forEach(([tokens, pairs], at) => {
        const matcher = new Matcher(tokens);
        const got = pairs.map((pair) => [matcher.match(...pair), { ...matcher.bound },
            matcher.typed(Object.keys(tokens).join(' ')), matcher.match(...pair) ? [] : matcher.firstDifference(...pair)]);
        assert.deepEqual(got, wanted[at], JSON.stringify(CASES[at]));
    });
    // どの答えも同じ、では何も分からない
    assert.ok(wanted.flat().some(([fits]) => fits) && wanted.flat().some(([fits]) => !fits));
});
