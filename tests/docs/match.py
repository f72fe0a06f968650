"""文書の行と、本当に出た行を比べる。

変わる値には、本物の値を 1 つ書いておき、注釈に並べる。同じ語は同じ値に、違う語は
違う値にならなければならない。だから「外と中で番号が違う」ことも、文書のとおりか調
べられる。
"""
import re

ANYTHING = '…'
SHAPES = (
    (r'\d+', r'\d+'),
    (r'\d+\.\d+', r'\d+\.\d+'),
    (r'0x[0-9a-f]+', r'0x[0-9a-f]+'),
    (r'[0-9a-f]{2}(?::[0-9a-f]{2})+', r'[0-9a-f]{2}(?::[0-9a-f]{2})+'),
)


def shape_of(token):
    """トークンと同じ形の値に合う正規表現。"""
    for token_shape, value_shape in SHAPES:
        if re.fullmatch(token_shape, token):
            return value_shape
    return r'\S+?'


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

    def line_pattern(self, line, bound):
        """1 行の正規表現と、その括弧が表す語の並び。"""
        pattern, groups, end = r'[ \t]*', [], 0
        for found in self.words.finditer(line.strip()):
            pattern += plain(line.strip()[end:found.start()])
            end = found.end()
            token = found[0]
            if token in bound:
                pattern += re.escape(bound[token])
            else:
                shape = r'\d+(?:\.\d+)?' if self.tokens[token][0] == 'near' \
                    else shape_of(token)
                pattern += f'({shape})'
                groups.append(token)
        return pattern + plain(line.strip()[end:]) + r'[ \t]*', groups

    def match_line(self, expected, actual, bound):
        """合えば、値の決まった語を加えた bound を返す。合わなければ None。"""
        pattern, groups = self.line_pattern(expected, bound)
        found = re.fullmatch(pattern, actual)
        if not found:
            return None
        bound = dict(bound)
        for token, value in zip(groups, found.groups()):
            if not self.accept(token, value, bound):
                return None
        return bound

    def accept(self, token, value, bound):
        kind = self.tokens[token]
        if kind[0] == 'near':
            return abs(float(value) - float(token)) <= kind[1] * float(token)
        if kind[0] == 'vary':
            if bound.setdefault(token, value) != value:
                return False
            return all(other == token or bound[other] != value or
                       shape_of(other) != shape_of(token) for other in bound)
        return True

    def match_lines(self, expected, actual, bound):
        if not expected:
            return bound if not actual else None
        if expected[0].strip() == ANYTHING:
            for skipped in range(len(actual) + 1):
                found = self.match_lines(expected[1:], actual[skipped:], bound)
                if found is not None:
                    return found
            return None
        if not actual:
            return None
        found = self.match_line(expected[0], actual[0], bound)
        if found is None:
            return None
        return self.match_lines(expected[1:], actual[1:], found)

    def match(self, expected, actual):
        """すべての行が合うか。合えば、決まった値を覚える。"""
        found = self.match_lines(expected, actual, self.bound)
        if found is None:
            return False
        self.bound = found
        return True

    def first_difference(self, expected, actual):
        """はじめて合わなくなる行 (文書、実際)。"""
        for count in range(1, len(expected) + 1):
            head = expected[:count] + [ANYTHING]
            if self.match_lines(head, actual, self.bound) is None:
                good = expected[:count - 1]
                for used in range(len(actual) + 1):
                    if self.match_lines(good, actual[:used], self.bound) is not None:
                        return expected[count - 1], ''.join(actual[used:used + 1])
                return expected[count - 1], ''
        return '(nothing more)', actual[-1] if actual else ''

    def typed(self, text):
        """打つ行の中の語を、分かっている値に置き換える。"""
        return self.words.sub(lambda found: self.bound.get(found[0], found[0]),
                              text)

    def written(self, line):
        """出た行の中の値を、文書の語に戻す。"""
        for token, value in self.bound.items():
            line = re.sub(whole_word(value), token.replace('\\', r'\\'), line)
        return line


def plain(text):
    """変わらない部分。空白の数は、桁がずれるので見ない。"""
    parts = re.split(rf'(\s+|{ANYTHING})', text)
    return ''.join('.*' if part == ANYTHING else
                   r'[ \t]+' if part.isspace() else re.escape(part)
                   for part in parts)
