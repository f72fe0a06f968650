"""文書 (Markdown) から、動かすものを上から順に取り出す。"""
import collections
import json
import re
import sys

from markdown_it import MarkdownIt

COMMENT = re.compile(r'<!--\s*(.*?)\s*-->', re.DOTALL)
INFO = re.compile(r'console(?: (?P<terminal>\d))?(?: (?P<running>running))?(?: [外中])?'
                  r'(?: if=cgroup(?P<version>[12]))?(?: skip="(?P<skip>[^"]+)")?'
                  # ブラウザーのタブのマシンでは動かせない理由 (slides/tool/guide.mjs)
                  r'(?: tab="[^"]+")?')
PROMPT = re.compile(r'((?:[~/]\S* )?[$#>] )( *\S.*)')
CONTROL = re.compile(r'\^[A-Z]')


# 1 度に打つものと、そのあとに出るはずの行。^C には prompt がなく、前から
# 動いているものの出力には text もない
Item = collections.namedtuple('Item', 'prompt text expected')
# ```console の 1 つ。start, end は、中身の行の範囲 (0 から)。version は if=cgroup1 の 1
Block = collections.namedtuple(
    'Block', 'start end indent items terminal running version skip')
# ファイルを書き換える ```diff。path が空なら、その文書のステップの main.c
Edit = collections.namedtuple('Edit', 'line path lines')
# 行を消すと何が起きるか
Ablation = collections.namedtuple('Ablation', 'title edit events')


def parse_items(lines):
    items = []
    for line in lines:
        typed = PROMPT.fullmatch(line)
        if typed:
            items.append(Item(*typed.groups(), []))
        elif CONTROL.fullmatch(line):
            items.append(Item('', line, []))
        else:
            if not items:
                items.append(Item('', '', []))
            items[-1].expected.append(line)
    return items


class Document:
    """上から順に読む。コメントは、そのあとの囲みか、文書全体にかかる。"""

    def __init__(self, path):
        with open(path, encoding='utf-8') as source:
            text = source.read()
        self.path = path
        self.tokens = {}              # 語 -> 'vary', 'reuse', 'any' か、near の割合
        self.events = []              # Block, Edit
        self.ablations = []
        self.lines = text.split('\n')
        self.heading = ''
        self.pending = None           # 次の ```diff の役目
        self.section = self.events    # 今の見出しの中の events
        for token in MarkdownIt('commonmark').parse(text):
            if token.type == 'fence':
                self.fence(token)
            elif token.type == 'html_block':
                for comment in COMMENT.findall(token.content):
                    self.comment(comment)
            elif token.type in ('heading_open', 'hr'):
                self.heading = self.lines[token.map[0]].lstrip('# ')
                self.section = self.events

    def comment(self, text):
        kind, _, rest = text.partition(':')
        words = rest.split()
        if kind in ('vary', 'reuse', 'any'):
            self.tokens.update((word, kind) for word in words)
        elif kind == 'near':
            if len(words) % 2:
                sys.exit(f'{self.path}: near: needs pairs of a number and a tolerance')
            self.tokens.update((word, float(part.rstrip('%')) / 100)
                               for word, part in zip(words[::2], words[1::2]))
        elif kind in ('edit', 'ablate'):
            self.pending = text

    def fence(self, token):
        start, end = token.map
        language, *_ = token.info.split() or ['']
        if self.lines[end - 1].strip() != token.markup:
            sys.exit(f'{self.path}:{start + 1}: ``` is never closed')
        inside = token.content.split('\n')[:-1]
        if language == 'console':
            info = INFO.fullmatch(token.info.strip())
            if not info:
                sys.exit(f'{self.path}:{start + 1}: unknown words: {token.info}')
            indent = self.lines[start].partition('`')[0]
            self.section.append(Block(start + 1, end - 1, indent, parse_items(inside),
                                      **info.groupdict('')))
        elif language == 'diff' and self.pending:
            edit = Edit(start + 1, self.pending.partition(':')[2].strip(), inside)
            if self.pending == 'ablate':
                self.section = []
                self.ablations.append(Ablation(self.heading, edit, self.section))
            else:
                self.section.append(edit)
            self.pending = None


def apply_edit(text, edit):
    """差分の「-」と空白の行が、ちょうど 1 か所で一致するときだけ書き換える。"""
    old, new = (''.join('\n' + line[1:] for line in edit.lines if line[:1] in (sign, ' ', ''))
                for sign in '-+')
    text, count = re.subn(re.escape(old) + r'(?=\n)', lambda _: new, '\n' + text)
    if count != 1:
        sys.exit(f'line {edit.line}: the deleted lines stand {count} times in the file, not once')
    return text[1:]


def as_json(path):
    """ページの ▶ が使うもの: 語と、端末の囲み。並びは文書の順。"""
    document = Document(path)
    events = document.events + [event for ablation in document.ablations for event in ablation.events]
    blocks = sorted((event for event in events if isinstance(event, Block)), key=lambda block: block.start)
    return json.dumps({
        'tokens': document.tokens,
        'blocks': [{'line': block.start, 'terminal': int(block.terminal or 1), 'running': bool(block.running),
                    'items': [item._asdict() for item in block.items]} for block in blocks],
    }, ensure_ascii=False)


if __name__ == '__main__':
    print(as_json(sys.argv[1]))
