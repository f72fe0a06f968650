"""文書の行と、本当に出た行を比べる。

変わる値には、本物の値を 1 つ書いておき、コメントに並べる。同じ語は同じ値に、違う語は
違う値にならなければならない。だから「外と中で番号が違う」ことも、文書のとおりか調
べられる。
"""
import re

ANYTHING = '…'
SAME = ('vary', 'reuse')          # 同じ語は同じ値になるもの
SHAPES = (r'\d+', r'\d+\.\d+', r'0x[0-9a-f]+')


def shape_of(token):
    """トークンと同じ形の値に合う正規表現。"""
    return next((shape for shape in SHAPES if re.fullmatch(shape, token)), r'\S+?')


def whole_word(token):
    """長い語の一部には合わない正規表現。"""
    before = r'(?<![\w.])' if re.match(r'\w', token) else ''
    after = r'(?!\w|\.\d)' if re.search(r'\w$', token) else ''
    return before + re.escape(token) + after


class Matcher:
    def __init__(self, tokens):
        self.tokens = tokens
        self.bound = {}               # 語 -> 本当の値
        words = sorted(tokens, key=len, reverse=True)
        self.words = re.compile('|'.join(map(whole_word, words)) or r'(?!)')

    def pattern(self, expected):
        """行の並び全体の正規表現と、その括弧が表す語の並び。"""
        pattern, groups = '', []
        for line in map(str.strip, expected):
            if line == ANYTHING:
                pattern += r'(?:.*\n)*?'
                continue
            pattern, end = pattern + r'[ \t]*', 0
            for found in self.words.finditer(line):
                pattern += plain(line[end:found.start()]) + self.value(found[0], groups)
                end = found.end()
            pattern += plain(line[end:]) + r'[ \t]*\n'
        return re.compile(pattern), groups

    def value(self, token, groups):
        """語の値の正規表現。"""
        if token in self.bound:
            return re.escape(self.bound[token])
        if self.tokens[token] in SAME and token in groups:
            return f'(?P=g{groups.index(token)})'
        groups.append(token)
        return f'(?P<g{len(groups) - 1}>{shape_of(token)})'

    def values(self, expected, actual):
        """すべての行が合えば、値の決まった語を加えた bound を返す。合わなければ None。"""
        pattern, groups = self.pattern(expected)
        found = pattern.fullmatch(''.join(f'{line}\n' for line in actual))
        if not found:
            return None
        bound = dict(self.bound)
        for token, value in zip(groups, found.groups()):
            kind = self.tokens[token]
            if kind in SAME:
                bound[token] = value
            elif kind != 'any' and abs(float(value) - float(token)) > kind * float(token):
                return None
        return bound if self.all_differ(bound) else None

    def all_differ(self, bound):
        """違う語は、違う値か。reuse の語どうしだけは、同じ値でもよい。"""
        reused = [token for token in bound if self.tokens[token] == 'reuse']
        for kept in reused or [None]:
            values = [(shape_of(token), value) for token, value in bound.items()
                      if token == kept or token not in reused]
            if len(set(values)) < len(values):
                return False
        return True

    def match(self, expected, actual):
        """すべての行が合うか。合えば、決まった値を覚える。"""
        found = self.values(expected, actual)
        if found is not None:
            self.bound = found
        return found is not None

    def first_difference(self, expected, actual):
        """はじめて合わなくなる行 (文書、実際)。"""
        used = 0
        for count, line in enumerate(expected, 1):
            fits = [number for number in range(len(actual) + 1)
                    if self.values(expected[:count], actual[:number]) is not None]
            if not fits:
                return line, ''.join(actual[used:used + 1])
            used = fits[0]
        return '(nothing more)', ''.join(actual[used:used + 1])

    def typed(self, text):
        """打つ行の中の語を、分かっている値に置き換える。"""
        return self.words.sub(lambda found: self.bound.get(found[0], found[0]),
                              text)

    def written(self, line):
        """出た行の中の値を、文書の語に戻す。"""
        for token, value in self.bound.items():
            line = re.sub(whole_word(value), token.replace('\\', r'\\'), line)
        return line

    def updated(self, expected, actual):
        """文書に書くべき行。合う行は文書のまま。ほかの行も、分かっている値は語に戻す。"""
        rows, rest = [], [(line, line.strip() == ANYTHING) for line in expected]
        for line in actual:
            at = next((at for at, (wanted, anything) in enumerate(rest)
                       if not anything and self.match([wanted], [line])), None)
            if at is not None:
                # 飛ばした「…」は残す。飛ばしたほかの行は、もう出ない
                rows += [row for row in rest[:at] if row[1]] + [(rest[at][0], True)]
                del rest[:at + 1]
            elif not rest or not rest[0][1]:
                rows.append((line, False))
        rows += [row for row in rest if row[1]]
        return [line if right else self.written(line) for line, right in rows]


def plain(text):
    """変わらない部分。空白の数は、桁がずれるので見ない。"""
    parts = re.split(rf'(\s+|{ANYTHING})', text)
    return ''.join('.*' if part == ANYTHING else
                   r'[ \t]+' if part.isspace() else re.escape(part)
                   for part in parts)
