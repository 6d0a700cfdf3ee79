"""Prompts as hypothesis makes them: blocks of every kind that may be protected, and text made to confuse."""

from hypothesis import strategies as st

WORDS = st.sampled_from(
    ["the", "you must answer", "and", "in order to", "please note that", "a large number of", "prior to", "if", "答え"]
)
BLANKS = st.sampled_from(["", "", " ", "   ", "\t", " \t "])
PROSE = st.lists(st.tuples(st.lists(WORDS, min_size=1, max_size=12).map(" ".join), BLANKS), min_size=1, max_size=4).map(
    lambda lines: "\n".join(words + blanks for words, blanks in lines)
)
FENCE = st.tuples(st.sampled_from(["```", "~~~", "````"]), st.text('ab \n\t{}"`', max_size=40)).map(
    lambda pair: f"{pair[0]}py\n{pair[1].replace(pair[0], '')}\n{pair[0]}"
)
JSON = st.just('{\n  "a": "x   ",  \n\n\n  "b": [1,\n\n 2]   \n}')
XML = st.just("<doc id='1'>  \n\n\n<p>text   </p>\n  </doc>")
TABLE = st.just("| a | b |   \n| - | - |\n| 1 | 2 |   ")
QUOTED = st.just('He said "one   \n\n\n two   " and left.   ')
EXAMPLE = st.just("Example 1:   \nInput: x   \n\n\nOutput: y   \n# Rules")
YAML = st.just("key:   \n  - a   \nother: |   \n    text   ")
INDENTED = st.just("    code   \n\n\n    more   ")
NOISE = st.text("ab \t\n\"'`{}[]<>|:#-/*_“”.~\r", max_size=60)
CONTEXT = st.lists(PROSE, min_size=1, max_size=4).map(
    lambda paragraphs: "<context>\n" + "\n\n".join(paragraphs) + "\n</context>"
)
BLOCK = st.one_of(PROSE, PROSE, FENCE, JSON, XML, TABLE, QUOTED, EXAMPLE, YAML, INDENTED, NOISE, CONTEXT)
GAPS = st.sampled_from(["\n", "\n\n", "\n\n\n\n", "\n  \n \n", "\r\n\r\n\r\n"])
TEXTS = st.lists(st.tuples(BLOCK, GAPS), max_size=8).map(lambda pairs: "".join(block + gap for block, gap in pairs))
# With long paragraphs that come twice.
LONG = (
    "This paragraph is long enough to be worth removing when the same words come again, and it says so at some length. "
)
REPEATING = st.lists(
    st.sampled_from([LONG * 2, LONG + "Other words.", "Short.", "```\n" + LONG + "\n```"]), max_size=8
).map("\n\n".join)
CONTENT = st.one_of(TEXTS, REPEATING, st.tuples(TEXTS, REPEATING).map("\n\n".join))


def message(role, content):
    return {"role": role, "content": content}


def tool_step(name, result):
    call = {"id": name, "type": "function", "function": {"name": "look", "arguments": '{"at":  "x"}'}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": name, "content": result},
    ]


TURN = st.tuples(CONTENT, CONTENT, st.booleans()).map(
    lambda turn: [
        message("user", turn[0] or "Hm?"),
        *(tool_step("t", turn[1]) if turn[2] else []),
        message("assistant", turn[1]),
    ]
)
CONVERSATIONS = st.tuples(st.lists(CONTENT, max_size=2), st.lists(TURN, max_size=3), CONTENT).map(
    lambda parts: [
        *(message("system", text) for text in parts[0]),
        *(one for turn in parts[1] for one in turn),
        message("user", parts[2] or "Why?"),
    ]
)
