"""文書 (Markdown) から、動かすものを上から順に取り出す。"""
import dataclasses
import re

FENCE = re.compile(r'^(\s*)(`{3,})(\w*)\s*(.*)$')
COMMENT = re.compile(r'^\s*<!--\s*(.*?)\s*-->\s*$')
PROMPT = re.compile(r'^((?:[~/]\S* )?[$#>] )(\S.*)$')
CONTROLS = {'^C': '\x03', '^D': '\x04'}


class DocError(Exception):
    """文書の書き方の誤り。"""


@dataclasses.dataclass
class Item:
    """1 度に打つものと、そのあとに出るはずの行。"""
    kind: str                     # type, control, more (前から動いているもの)
    prompt: str = ''
    text: str = ''
    expected: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Block:
    """```console の 1 つ。start, end は、中身の行の範囲 (0 から)。"""
    start: int
    end: int
    indent: str
    terminal: str = '1'
    running: bool = False
    version: str = ''             # if=cgroup1, if=cgroup2
    skip: str = ''
    items: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Edit:
    """```diff の 1 つ。ファイルを書き換える。"""
    line: int
    path: str                     # 空なら、その文書のステップの main.c
    lines: list


@dataclasses.dataclass
class Ablation:
    """行を消すと何が起きるか。"""
    title: str
    edit: Edit
    events: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Document:
    tokens: dict                  # 語 -> ('vary',) か ('any',) か ('near', 割合)
    events: list                  # Block, Edit, 'new terminals'
    ablations: list


def parse_info(block, info, where):
    """```console のあとの「2 running」や「skip="理由"」を読む。"""
    words = re.findall(r'skip="[^"]+"|\S+', info)
    for word in words:
        if word.isdigit():
            block.terminal = word
        elif word == 'running':
            block.running = True
        elif word in ('if=cgroup1', 'if=cgroup2'):
            block.version = word[len('if=cgroup'):]
        elif word.startswith('skip="'):
            block.skip = word[len('skip="'):-1]
        else:
            raise DocError(f'{where}: unknown word after console: {word}')


def parse_items(lines):
    items = []
    for line in lines:
        typed = PROMPT.match(line)
        if typed:
            items.append(Item('type', typed[1], typed[2]))
        elif line in CONTROLS:
            items.append(Item('control', '', line))
        else:
            if not items:
                items.append(Item('more'))
            items[-1].expected.append(line)
    return items


def parse_tokens(words, kind):
    if kind == 'near':
        if len(words) % 2:
            raise DocError('near: needs pairs of a number and a tolerance')
        return {token: ('near', float(part.rstrip('%')) / 100)
                for token, part in zip(words[::2], words[1::2])}
    return {word: (kind,) for word in words}


class Parser:
    """1 行ずつ読む。注釈は、そのあとの囲みか、文書全体にかかる。"""

    def __init__(self, text):
        self.lines = text.split('\n')
        self.document = Document({}, [], [])
        self.events = self.document.events
        self.heading = ''
        self.pending = None           # 次の ```diff の役目

    def parse(self):
        number = 0
        while number < len(self.lines):
            line = self.lines[number]
            fence = FENCE.match(line)
            if fence:
                number = self.fence(number, fence)
                continue
            comment = COMMENT.match(line)
            if comment:
                self.comment(comment[1])
            elif re.match(r'#{1,6} |---$', line):
                self.heading = line.lstrip('# ') or self.heading
                self.events = self.document.events
            number += 1
        return self.document

    def comment(self, text):
        kind, _, rest = text.partition(':')
        if kind in ('vary', 'any', 'near'):
            self.document.tokens.update(parse_tokens(rest.split(), kind))
        elif text == 'new terminals':
            self.events.append(text)
        elif kind == 'edit':
            self.pending = rest.strip()
        elif text == 'ablate':
            self.pending = text

    def fence(self, start, fence):
        indent, ticks, language, info = fence.groups()
        end = start + 1
        while end < len(self.lines) and self.lines[end].strip() != ticks:
            end += 1
        if end == len(self.lines):
            raise DocError(f'line {start + 1}: ``` is never closed')
        inside = [line[len(indent):] for line in self.lines[start + 1:end]]
        if language == 'console':
            block = Block(start + 1, end, indent)
            parse_info(block, info, f'line {start + 1}')
            block.items = parse_items(inside)
            self.events.append(block)
        elif language == 'diff' and self.pending is not None:
            self.diff(start + 1, inside)
        return end + 1

    def diff(self, line, inside):
        if self.pending == 'ablate':
            ablation = Ablation(self.heading, Edit(line, '', inside))
            self.document.ablations.append(ablation)
            self.events = ablation.events
        else:
            self.events.append(Edit(line, self.pending, inside))
        self.pending = None


def parse(text):
    return Parser(text).parse()


def apply_edit(text, edit):
    """差分の「-」と空白の行が、ちょうど 1 か所で一致するときだけ書き換える。"""
    old = [line[1:] for line in edit.lines if line[:1] in ('-', ' ', '')]
    new = [line[1:] for line in edit.lines if line[:1] in ('+', ' ', '')]
    lines = text.split('\n')
    places = [i for i in range(len(lines) - len(old) + 1)
              if lines[i:i + len(old)] == old]
    if len(places) != 1:
        raise DocError(f'line {edit.line}: the deleted lines stand {len(places)}'
                       ' times in the file, not once')
    lines[places[0]:places[0] + len(old)] = new
    return '\n'.join(lines)
