"""T-SQL in tokens."""
import re


class SyntaxFault(Exception):
    """What the server would refuse to parse: error 102 unless it says otherwise."""

    def __init__(self, text, line=1, number=102):
        super().__init__(text)
        self.text, self.line, self.number = text, line, number


WORD, NAME, STRING, WIDE_STRING, NUMBER, HEX, VARIABLE, OPERATOR, END = "word name string wide number hex variable operator end".split()

PATTERN = re.compile(r"""
    (?P<space>\s+|--[^\n]*)
  | (?P<comment>/\*)
  | (?P<wide>[Nn]'(?:[^']|'')*')
  | (?P<string>'(?:[^']|'')*')
  | (?P<name>\[(?:[^\]]|\]\])+\]|"(?:[^"]|"")+")
  | (?P<hex>0[xX][0-9A-Fa-f]*)
  | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<variable>@@?[\w$#@]+)
  | (?P<word>[^\W\d][\w$#@]*|\#\#?[\w$]+|\$(?:action|identity|rowguid)\b)
  | (?P<operator><>|<=|>=|!=|!<|!>|\+=|-=|\*=|/=|::|[-+*/%=<>(),.;&|^~])
""", re.X)


class Token:
    __slots__ = ("kind", "text", "upper", "start", "end", "line")

    def __init__(self, kind, text, start, end, line):
        self.kind, self.text, self.start, self.end, self.line = kind, text, start, end, line
        self.upper = text.upper() if kind == WORD else text if kind == OPERATOR else None

    def __repr__(self):
        return f"{self.kind}:{self.text}"


def _comment_end(sql, at, line):
    depth = 0
    while at < len(sql):
        if sql.startswith("/*", at):
            depth += 1
            at += 2
        elif sql.startswith("*/", at):
            depth -= 1
            at += 2
            if depth == 0:
                return at
        else:
            at += 1
    raise SyntaxFault("Missing end comment mark '*/'.", line, 113)


def tokens(sql):
    out, at, line = [], 0, 1
    while at < len(sql):
        m = PATTERN.match(sql, at)
        if not m:
            number, what = (105, "Unclosed quotation mark.") if sql[at] in "'\"[Nn" else (102, f"Incorrect syntax near '{sql[at]}'.")
            raise SyntaxFault(what, line, number)
        kind, text, end = m.lastgroup, m.group(), m.end()
        if kind == "comment":
            end = _comment_end(sql, at, line)
        elif kind != "space":
            start_line = line
            if kind == "name":
                close = text[-1]
                text = text[1:-1].replace(close * 2, close)
            elif kind == "string":
                text = text[1:-1].replace("''", "'")
            elif kind == "wide":
                text = text[2:-1].replace("''", "'")
            out.append(Token(kind, text, at, end, start_line))
        line += sql.count("\n", at, end)
        at = end
    out.append(Token(END, "", len(sql), len(sql), line))
    return out
