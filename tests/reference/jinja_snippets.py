"""Small templates over the language as a whole, and random expressions, for comparison with Jinja2."""

import random

# Data that every snippet sees, as request variables.
VARIABLES = {
    "text": "  Hello <World> & 'friends'\n",
    "word": "straße",
    "greek": "ΑΣ ΟΔΟΣ",
    "empty": "",
    "number": 7,
    "negative": -3,
    "real": 2.5,
    "large": 123456789012345678901234567890,
    "yes": True,
    "no": False,
    "nothing": None,
    "numbers": [3, 1, 2],
    "mixed": [1, "a", None, True, 2.0, [1], {"k": "v"}],
    "texts": ["b", "A", "c", "a"],
    "table": {"b": 1, "a": {"x": [1, 2]}, "items": "hidden", "C": 3},
    "people": [
        {"name": "Ada", "age": 36, "tags": ["x", "y"], "role": "user"},
        {"name": "bob", "age": 5, "tags": [], "role": "assistant"},
        {"name": "Cy", "age": 36, "role": "tool", "boss": {"name": "Ada"}},
    ],
}

STATEMENTS = [
    # white space
    "a\n  {% if true %}\nb\n  {% endif %}\nc",
    "a\n  {%+ if true %}\nb\n  {%+ endif +%}\nc",
    "a  {%- if true -%}  b  {%- endif -%}  c",
    "a \n\n {{- 1 -}} \n\n b {{ 2 }}\n\nc\n",
    "  {# c #}  \n  x {# d\n -#}  y\n{#- e #} z {#+ f +#}\nq",
    "{% raw %}\n {{ x }} {% if %} {% endraw %}\nb",
    "{%- raw -%}  {{ x }}  {%- endraw -%}  b",
    "a\n  {% raw %} x {% endraw %}\n b",
    "\u00a0\u2003{%- if true %}x{% endif -%}\u3000\x1c y",
    "a\r\nb\r{% if true %}\r\nc{% endif %}\r\n",
    "x\n\n", "\n", "", "\n\n{{ 1 }}\n", "{{ 1 }}\n\n{% set a = 1 %}\n\n",
    "{{ '{{' }} {{ '%}' }} {{ '}}' }} {{ {'a': {'b': 1}}['a'] }}",
    "{{ 1 }}}", "{ { 1 } }", "{{1}}{{2}}{%if 1%}{%endif%}", "{% if 1: %}x{% endif %}",
    # set
    "{% set a = 1 %}{% set b, c = 2, 3 %}{{ a }}{{ b }}{{ c }}",
    "{% set a = [1, 2] %}{% set (b, c) = a %}{{ b + c }}",
    "{% set a %}x{{ 1 }}{% endset %}{{ a|upper }}",
    "{% set a | upper | replace('X', 'y') %}x{{ 1 }}{% endset %}{{ a }}",
    "{% set a %}{% set b = 1 %}{% endset %}{{ b is defined }}",
    "{% set ns = namespace(a=1, b='x') %}{% for i in range(3) %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}",
    "{% set ns = namespace({'a': 1}) %}{{ ns.a }}{{ ns['a'] }}{{ ns.missing is defined }}",
    "{% set ns = namespace() %}{% set ns.a, x = 1, 2 %}{{ ns.a }}{{ x }}",
    "{% set text = text|trim %}{{ text }}",
    "{% if yes %}{% set q = 5 %}{% endif %}{{ q }}",
    "{% set q = 1 %}{% for i in [1, 2] %}{{ q }}{% set q = 9 %}{{ q }}{% endfor %}{{ q }}",
    "{% for number in [1, 2] %}{{ number }}{% set number = 5 %}{{ number }}{% endfor %}{{ number }}",
    "{% set a, b = 1 %}", "{% set a, b = [1] %}", "{% set a, b = [1, 2, 3] %}", "{% set a, b = 'xy' %}{{ a }}{{ b }}",
    "{% set a, b = table %}", "{% set a, b = missing %}", "{% set a, = [1] %}{{ a }}",
    # if
    "{% if nothing %}a{% elif number > 5 %}b{% else %}c{% endif %}",
    "{% if nothing %}a{% elif no %}b{% else %}c{% endif %}", "{% if 1, %}t{% endif %}",
    # for
    "{% for i in numbers %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}"
    "{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}",
    "{% for i in numbers %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}",
    "{% for i in numbers %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}",
    "{% for i in numbers %}{{ loop.previtem.x }}{% endfor %}",
    "{% for i in numbers %}{{ loop.cycle('a', 'b') }}{{ loop.changed(i > 1) }}{% endfor %}",
    "{% for k, v in table.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in table %}{{ k }}{% endfor %}",
    "{% for k, v in table|items %}{{ k }}{{ loop.length }}{% endfor %}",
    "{% for k, v in table|dictsort %}{{ k }}{{ v }}{% endfor %}",
    "{% for a, (b, c) in [[1, [2, 3]], [4, [5, 6]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for c in 'aé日' %}{{ c }}|{% endfor %}", "{% for i in [] %}x{% else %}none{% endfor %}",
    "{% for i in missing %}x{% else %}none{% endfor %}", "{% for i in nothing %}x{% endfor %}",
    "{% for i in 5 %}x{% endfor %}", "{% for i in numbers if i > 1 %}{{ i }}{{ loop.index }}{{ loop.last }}{% endfor %}",
    "{% for i in numbers if i > 9 %}{{ i }}{% else %}none{% endfor %}",
    "{% set ns = namespace(stop=false) %}{% for i in numbers if not ns.stop %}{{ i }}{% set ns.stop = true %}{% endfor %}",
    "{% set ns = namespace(stop=false) %}{% for i in numbers if not ns.stop %}{{ i }}{{ loop.last }}"
    "{% set ns.stop = true %}{% endfor %}",
    "{% for i in numbers %}{% for j in texts %}{{ loop.index }}{{ j }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in range(5) %}{% break %}{% else %}e{% endfor %}", "{% for i in range(2, 8, 3) %}{{ i }}{% endfor %}",
    "{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}", "{{ range(3) }}{{ range(0, 6, 2) }}{{ range(3)|list }}",
    "{{ range(100001) }}", "{{ range(1, 2, 0) }}", "{% for i in numbers|reverse %}{{ i }}{{ loop.length }}{% endfor %}",
    "{% for m in people[::-1] %}{{ m.name }}{{ loop.index0 }}{% endfor %}",
    "{% for m in people|selectattr('age', 'equalto', 36) %}{{ m.name }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for i in numbers %}{{ loop }}{% endfor %}", "{{ loop }}", "{{ loop.index }}",
    "{% for i in numbers %}{% set x %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endset %}{{ x }}{% endfor %}",
    "{% set g = numbers|map('string') %}{% for i in g %}{{ i }}{% endfor %}-{% for i in g %}{{ i }}{% endfor %}",
    # macro, call, filter, with, generation
    "{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}",
    "{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(b=1) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}in{{ 1 }}{% endcall %}",
    "{% macro m() %}[{{ caller(1, y=2) }}]{% endmacro %}{% call(x, y) m() %}{{ x }}{{ y }}{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}x{% endmacro %}{% call m() %}in{% endcall %}",
    "{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(5) }}",
    "{% macro m() %}{{ q }}{% endmacro %}{% set q = 1 %}{{ m() }}{% set q = 2 %}{{ m() }}",
    "{% macro m() %}{% set q = 1 %}{% endmacro %}{{ m() }}{{ q is defined }}",
    "{% macro m(x) %}  a  {{ x }}  {% endmacro %}[{{ m(1)|trim }}]{{ m(2) is string }}{{ m.name }}{{ m.arguments }}{{ m }}",
    "{% for i in numbers %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% filter upper %}a{{ word }}{% endfilter %}", "{% filter replace('a', 'b')|upper %}xaa{% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set z = 1 %}{{ z }}{% endwith %}{{ z }}",
    "{% generation %}x{{ 1 }}{% set z = 1 %}{% endgeneration %}{{ z is defined }}",
    "{% for i in numbers %}{% generation %}{{ i }}{{ loop.index }}{% endgeneration %}{% endfor %}",
    "{% print 1, 'a' %}", "{% print %}",
    # errors of grammar
    "{% if %}x{% endif %}", "{% if 1 %}x", "{% endif %}", "{% foo %}", "{{ 1 +", "{{ 1 + }}", "{{ }}", "{{ (1 }}", "{{ 1) }}",
    "{{ [1 }}", "{{ a b }}", "{{ 'a }}", "{{ 1..2 }}", "{{ x.'a' }}", "{{ $ }}", "{{ a! }}", "{# x", "{% raw %}x",
    "{% for x %}{% endfor %}", "{% for x in y %}", "{% set 1 = 2 %}", "{% set true = 2 %}", "{% macro m(a=1, b) %}{% endmacro %}",
    "{{ f(a=1, 2) }}", "{{ f(**a, b=1) }}", "{{ 007 }}", "{{ 1__0 }}", "{{ x|nope }}", "{{ x is nope }}", "{{ x|nope.b }}",
    "{% break %}", "{% for i in [1] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}", "{% call 1 %}{% endcall %}",
    "{{ 1 is number is defined }}", "{% if 1 %}{% else %}{% elif 2 %}{% endif %}", "{{ '\\ud800' }}", "{{ {1, 2} }}",
    # scoping and order of evaluation
    "{% set a = 1 %}{% macro m(a=a) %}{{ a }}{% endmacro %}{{ m() }}",
    "{{ missing or 'd' }}{{ missing and 1 }}{{ nothing.x or 2 }}", "{{ missing.x or 1 }}", "{{ missing.x is defined }}",
    "{{ people[0].boss.name }}", "{{ people[2].boss.name }}{{ people[9].name }}", "{{ people[9] is defined }}",
    "{{ raise_exception('no ' ~ number) }}", "{% if no %}{{ raise_exception('x') }}{% endif %}ok",
    "{{ strftime_now('%d %b %Y %H:%M:%S %A %B %j %y %p %I %%') }}", "{{ strftime_now('%Y-%m-%d') }}",
    "{% set j = joiner('|') %}{% for i in numbers %}{{ j() }}{{ i }}{% endfor %}",
    "{% set c = cycler('a', 'b') %}{% for i in numbers %}{{ c.next() }}{% endfor %}{{ c.current }}",
    "{{ dict(a=1, b=[2]) }}{{ dict([['x', 1]]) }}{{ dict({'q': 1}, r=2) }}", "{{ dict([1]) }}",
    "{{ numbers.append(4) }}", "{{ table.pop('a') }}", "{{ table.update({}) }}{{ numbers.append is defined }}", "{{ numbers.append }}|",
    "{{ table['items'] }}{{ table.items is callable }}", "{{ word.__class__ }}|", "{{ word.__class__.__name__ }}",
    "{{ numbers['append'] is defined }}{{ table['keys'] is callable }}", "{{ number.x }}|{{ number.x is defined }}", "{{ number.x.y }}",
    "{{ *numbers }}", "{{ dict(**table) }}", "{{ [1, 2, 3].index(2) }}{{ (1, 2, 1).count(1) }}", "{{ [1].index(5) }}",
    "{{ 'a' if no }}|{{ ('a' if no) is undefined }}", "{{ ('a' if no).x }}", "{{ 'a' if yes else missing.x.y }}",
]

EXPRESSIONS = [
    # numbers
    "1 + 2 * 3", "-2 ** 2", "2 ** 3 ** 2", "7 // 2", "-7 // 2", "7 % -3", "-7 % 3", "7.5 // 2", "-7.5 % 2", "1 / 3", "10 / 2",
    "1 / 0", "1 // 0", "1 % 0", "1.5 % 0", "2 ** -1", "0 ** -1", "0.1 + 0.2", "1e16", "1e15", "1e-5", "0.0001", "1.5e300 * 1e10",
    "real * 2", "1_000 + 0x1F + 0b11 + 0o17", "1.0", "-0.0", "5 - -3", "+5", "-yes", "+yes", "yes + yes", "- 'a'", "+ nothing",
    "large", "-number", "large == 123", "large > 5", "5 < large", "[large]", "large|string|length", "1 < 2 < 3", "1 < 2 > 3",
    "1 == 1.0", "true == 1", "false == 0", "1 == '1'", "none == false", "1 != 2", "1 <= 1", "'a' < 'b'", "'a' < 1", "[1] < [2]",
    "[1, 2] == [1, 2]", "(1, 2) == [1, 2]", "{'a': 1} == {'a': 1.0}", "missing == missing2", "missing == none", "missing < 1",
    "1 < missing", "none < 1", "[1, 'a'] < [1, 2]", "nothing is none", "1e400", "-1e400",
    # texts
    "'a' 'b' \"c\"", "'a' + 'b'", "'a' + 1", "1 + 'a'", "'a' * 3", "3 * 'a'", "'a' * -1", "'a' * 1.5", "[1] * 2", "[1] + [2]",
    "[1] + (2,)", "'a' ~ 1 ~ none ~ missing ~ 1.0 ~ [1, 'x'] ~ true", "'\\n\\t\\\\ \\' \\x41 \\u00e9 \\U0001F642 \\101 \\q'",
    "\"it's\"", "'say \"x\"'", "text", "word|upper", "greek|lower", "'ǆ'|title ~ 'ǆ'.title()", "word.upper().lower()", "'İ'.lower()|length",
    "text.strip()", "text.lstrip()", "text.rstrip('\\n')", "'xxaxx'.strip('x')", "'abc'.strip('')", "'abc'.strip(none)", "'abc'.strip(1)",
    "text.split()", "'a,b,,c'.split(',')", "'a,b,c'.split(',', 1)", "'a,b,c'.rsplit(',', 1)", "' a b  c '.split(None, 1)",
    "' a b  c '.rsplit(None, 1)", "'abc'.split('')", "'abc'.split(1)", "'a-b'.partition('-')", "'a-b-c'.rpartition('-')",
    "'abc'.partition('x')", "'abc'.rpartition('x')", "'a\\nb\\r\\nc'.splitlines()", "'a\\nb'.splitlines(true)", "'abc'.startswith('a')",
    "'abc'.startswith(('x', 'a'))", "'abc'.startswith('b', 1)", "'abc'.endswith('c')", "'abc'.endswith(1)", "'abc'.find('c')",
    "'日本語'.find('語')", "'abc'.find('x')", "'abc'.index('x')", "'abcabc'.rfind('b')", "'aaa'.count('a')", "'aaa'.count('')",
    "'abc'.replace('b', 'x')", "'aaa'.replace('a', 'b', 2)", "'abc'.replace('', '-')", "'abc'.replace('b')", "'-'.join(texts)",
    "'-'.join(numbers)", "''.join('abc')", "'-'.join(table)", "'ab'.center(7, '*')", "'ab'.ljust(4) ~ '|'", "'ab'.rjust(4)", "'-5'.zfill(5)",
    "'abc'.isalpha()", "'a1'.isalnum()", "'12'.isdigit()", "'²'.isdigit()", "'²'.isdecimal()", "'½'.isnumeric()", "''.isalpha()",
    "'Ab'.istitle()", "'AB'.isupper()", "'ab'.islower()", "' \\n'.isspace()", "'aB'.swapcase()", "'hello world'.capitalize()",
    "'they\\'re bill\\'s'.title()", "'straße'.casefold()", "'prefix-x'.removeprefix('prefix-')", "'x.py'.removesuffix('.py')",
    "'abc'[0]", "'abc'[-1]", "'abc'[5]", "'abc'[1:]", "'abcdef'[::2]", "'abcdef'[::-1]", "'日本語'[1]", "'日本語'[::-1]", "'abc'[2:0:-1]",
    "'abc'[-2:]", "'abc'[:99]", "numbers[::-1]", "numbers[1:99]", "numbers[:-1]", "numbers[::0]", "(1, 2, 3)[1:]", "numbers['x']",
    "numbers[1.0]", "numbers[true]", "table['zzz']", "table.zzz.y", "table[[1]]", "'abc'['x']", "numbers[5].x", "nothing['x']", "number[0]",
    "{}['a'].b", "numbers[0:'x']", "'%s-%d' % ('a', 3)", "'%5.2f|%-5s|%05d|%x' % (1.5, 'a', 42, 255)", "'%s' % 1", "'%s' % none",
    "'%s %s' % 1", "'%d' % 'a'", "'%s' % (1, 2)", "'%%' % ()", "'%(a)s' % {'a': 1}", "'%(b)s' % {'a': 1}", "'%q' % 1", "'%r' % 'a'",
    "'%e %g %G' % (12345.678, 0.00001, 1e20)", "'%+d % d' % (1, 2)", "'%c%c' % ('a', 98)", "'{} {}'.format(1, 'a')",
    "'{0}{1}{0}'.format('a', 'b')", "'{a}'.format(a=1)", "'{a.b}|{a[b]}'.format(a={'b': 1})", "'{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c')",
    "'{:.2f} {:d} {:x} {:,}'.format(1.5, 3, 255, 1234567)", "'{'.format()", "'{}'.format()", "'{!r}'.format('a')", "'{:05}'.format(3)",
    "'{}'.format(1.0)", "'{{}}'.format()", "'%s' | format(1)", "'%s %s'|format('a', 'b')", "'%(x)s'|format(x=1)",
    # containers and printing
    "[1, 'a', 1.5, none, true, (1,), {}, {'k': 'v'}]", "()", "(1, 2)", "{'a': 'b\\'c', 'd\"': '\\n\\x00é\\u200b'}", "table", "mixed",
    "table.keys()", "table.values()", "table.items()", "table.keys()|list", "table.get('b')", "table.get('zz')", "table.get('zz', 5)",
    "table.get()", "table.copy()", "{}.items()", "1 in numbers", "9 not in numbers", "'a' in 'abc'", "'a' in table", "1 in 'abc'",
    "'a' in 5", "'a' in none", "missing in 'abc'", "'a' in missing", "[1] in [[1]]", "{'a': 1}.a", "{1: 2}[1]", "{1: 2}[true]", "{1: 2}[1.0]",
    "{true: 1, 1: 2}", "{'a': 1, 'a': 2}", "{[1]: 2}", "not 1 in numbers", "not yes", "not missing", "'x' and ''", "0 or none or 'z'",
    # filters
    "text|trim", "'xax'|trim('x')", "nothing|trim", "5|trim", "missing|trim", "text|length", "numbers|count", "5|length", "nothing|length",
    "missing|length", "missing|upper", "table|tojson", "mixed|tojson", "table|tojson(indent=2)", "mixed|tojson(indent=1)",
    "table|tojson(sort_keys=true)", "table|tojson(separators=(',', ':'))", "word|tojson(ensure_ascii=true)", "'🙂\\x7f'|tojson(ensure_ascii=true)",
    "table|tojson(indent='--')", "[]|tojson(indent=2)", "{}|tojson(indent=2)", "missing|tojson", "'</script>'|tojson", "(1, 2)|tojson",
    "{1: 2, none: 3, true: 4, 1.5: 5}|tojson", "{(1, 2): 3}|tojson", "1e400|tojson", "'a\\x01\\x7f\\u2028'|tojson", "table|tojson(true)",
    "table|tojson(bad=1)", "range(3)|tojson", "range(3)|list|tojson", "table.items()|tojson", "text|e", "text|escape|length",
    "'<'|safe ~ '<'", "('<'|safe) + '<'", "'<' + ('<'|safe)", "('<a>'|safe).upper() + '>'", "('<'|safe)|e", "('<'|safe)|forceescape",
    "('a<b'|safe).split('<')", "['<'|safe]", "('<'|safe)[0] + '<'", "(('x'|safe)|trim) + '<'", "(('x'|safe)|upper) + '<'", "(('x'|safe)|string) + '<'",
    "5|string + 'a'", "nothing|string", "1.0|string", "table|items|list", "5|items|list", "missing|items|list",
    "nothing|items|list", "numbers|join", "numbers|join('-')", "mixed|join(', ')", "people|join(',', attribute='name')", "missing|join", "5|join",
    "'abc'|join('-')", "table|join", "numbers|map('string')|list", "people|map(attribute='name')|list", "people|map(attribute='boss.name')|list",
    "people|map(attribute='boss.name', default='-')|list", "people|map('attr', 'name')|list", "people|map(attribute='tags.0', default=0)|list",
    "texts|map('upper')|join", "numbers|map('nope')|list", "numbers|map|list", "people|map(attribut='x')|list", "numbers|select('odd')|list",
    "numbers|reject('odd')|list", "mixed|select|list", "mixed|reject|list", "mixed|select('string')|list", "numbers|select('>', 1)|list",
    "numbers|select('nope')|list", "people|selectattr('boss')|list|length", "people|rejectattr('boss')|map(attribute='name')|list",
    "people|selectattr('role', 'in', ['user', 'tool'])|map(attribute='name')|list", "people|selectattr('age', '>', 10)|list|length",
    "people|selectattr('boss', 'defined')|map(attribute='name')|first", "people|selectattr|list", "numbers|first", "[]|first", "''|first",
    "table|first", "numbers|last", "[]|last", "table|last", "5|first", "nothing|last", "'日本'|last", "'ab'|list", "table|list", "5|list",
    "nothing|list", "missing|list", "'abc'|reverse", "numbers|reverse|list", "5|reverse", "'a-b c(d'|title", "'HELLO wORLD'|capitalize",
    "text|replace('<', '[')", "'aaa'|replace('a', 'b', 2)", "5|replace('5', 'x')", "missing|default('d')", "nothing|default('d')",
    "nothing|default('d', true)", "''|d('x', boolean=true)", "missing|d", "'12'|int", "'x'|int", "'x'|int(7)", "'1.9'|int", "3.9|int",
    "'0x1f'|int(base=16)", "'ff'|int(0, 16)", "' 12 '|int", "'1_000'|int", "nothing|int", "missing|int", "yes|int", "[]|int", "'1e3'|int",
    "'inf'|int", "'1.5'|float", "'x'|float", "'x'|float(2.0)", "5|float", "nothing|float", "'nan'|float|string", "'1e400'|float",
    "-5|abs", "2.5|abs", "-2.5|abs", "'a'|abs", "nothing|abs", "2.5|round", "3.5|round", "2.567|round(2)", "2.675|round(2)", "1234.5|round(-2)",
    "7|round", "2.1|round(method='ceil')", "2.19|round(1, 'floor')", "'a'|round", "2.5|round(method='x')", "numbers|sort", "numbers|sort(reverse=true)",
    "texts|sort", "texts|sort(case_sensitive=true)", "people|sort(attribute='age')|map(attribute='name')|list",
    "people|sort(attribute='age,name', reverse=true)|map(attribute='name')|list", "mixed|sort", "missing|sort", "table|sort", "texts|unique|list",
    "texts|unique(case_sensitive=true)|list", "[1, 1.0, true, 2]|unique|list", "[[1], [1]]|unique|list", "people|unique(attribute='age')|list|length",
    "table|dictsort", "table|dictsort(case_sensitive=true)", "{'a': 2, 'b': 1}|dictsort(by='value')", "{'a': 1}|dictsort(by='x')", "5|dictsort",
    "{'a': 1, 'b': 2}|dictsort(reverse=true)", "numbers|min", "numbers|max", "[]|min", "texts|max", "texts|min(case_sensitive=true)",
    "people|max(attribute='age')", "mixed|max", "numbers|sum", "[1.5, 2]|sum", "people|sum(attribute='age')", "[[1], [2]]|sum(start=[])", "texts|sum",
    "[]|sum", "numbers|batch(2)|list", "numbers|batch(2, 0)|list", "numbers|slice(2)|list", "numbers|slice(2, 'x')|list", "'a\\nb\\n\\nc'|indent",
    "'a\\nb'|indent(2, true)", "'a\\n\\nb'|indent(2, blank=true)", "'a\\nb'|indent('> ')", "''|indent ~ '|'", "'a\\n'|indent ~ '|'", "5|indent",
    "'hello world foo'|truncate(9)", "'hello world'|truncate(5, true)", "'hello world'|truncate(5, false, '..', 0)", "'short'|truncate(255)",
    "'one two, three'|wordcount", "'x'|center(5) ~ '|'", "people|groupby('age')|list|length", "people|groupby('age')|map('first')|list",
    "people|groupby('role', default='z')|map('last')|map('length')|list", "table|attr('b')|string", "word|attr('upper') is callable",
    # tests
    "word is string", "5 is string", "numbers is iterable", "5 is iterable", "missing is iterable", "table is mapping", "numbers is mapping",
    "'a' is sequence", "table is sequence", "5 is sequence", "table.items() is sequence", "nothing is none", "missing is none", "missing is undefined",
    "missing is defined", "yes is true", "1 is true", "no is false", "0 is false", "yes is boolean", "1 is boolean", "1 is integer", "yes is integer",
    "1.0 is integer", "large is integer", "1.0 is float", "1 is float", "1 is number", "yes is number", "'1' is number", "2 is odd", "3 is odd", "2 is even",
    "'a' is odd", "2.0 is even", "9 is divisibleby 3", "9 is divisibleby(4)", "9 is divisibleby 0", "1 is in numbers", "9 is not in numbers", "'a' is in 'abc'",
    "1 is eq 1", "1 is equalto 1.0", "1 is ne 2", "1 is lt 2", "1 is gt 2", "1 is le 1", "1 is ge 2", "1 is sameas 1", "'abc' is lower", "'ABC' is upper",
    "'Ab' is lower", "5 is lower", "raise_exception is callable", "word is callable", "word.upper is callable", "'trim' is filter", "'nope' is filter",
    "'odd' is test", "'x' is escaped", "('x'|safe) is escaped", "word is not string", "not word is string", "1 is defined and 2 is defined",
    "missing.x is defined", "table.x is defined", "table.a.x is defined", "(1, 2) is sequence", "'a' is eq('a')", "[1, 2] is eq [1, 2]", "word is string()",
    "1 is divisibleby", "missing is eq missing2",
]


def all_snippets():
    return STATEMENTS + ["{{ " + expression + " }}" for expression in EXPRESSIONS]


class RandomExpressions:
    """Expressions that mostly make sense: any value, then operators, filters, tests and methods upon it."""

    LEAVES = list(VARIABLES) + [
        "1", "0", "-1", "2", "10", "1.5", "-0.5", "'a'", "'abc'", "'A b'", "''", "' x '", "'日本'", "'a,b'", "true", "false", "none",
        "[]", "{}", "[1, 2, 3]", "['b', 'a']", "(1, 2)", "missing", "{'k': 'v'}", "range(4)|list", "'<b>'", "'1'", "'12.5'",
    ]
    # What is a generator in Python is always read: its printed form is an address.
    FILTERS = [
        "trim", "length", "tojson", "string", "items|list", "join('-')", "list", "first", "last", "upper", "lower", "capitalize", "title",
        "replace('a', 'b')", "default('d')", "default('d', true)", "int", "float", "abs", "round", "sort", "unique|list", "reverse|list", "dictsort",
        "indent(2)", "min", "max", "sum", "e", "safe", "map('string')|list", "map('upper')|list", "select|list", "reject('none')|list", "select('string')|list",
        "map(attribute='name')|list", "selectattr('age')|list", "rejectattr('name', 'defined')|list", "batch(2)|list", "tojson(indent=1)", "join(attribute='name')",
        "slice(2)|list", "wordcount", "truncate(4, true)", "round(1)", "trim('a')", "map('length')|list", "select('odd')|list", "sort(reverse=true)",
    ]
    TESTS = [
        "string", "iterable", "mapping", "sequence", "none", "undefined", "defined", "true", "false", "boolean", "integer", "float", "number",
        "odd", "even", "callable", "lower", "upper", "divisibleby 2", "in [1, 'a']", "eq 1", "lt 2", "gt 'a'", "sameas none",
    ]
    METHODS = [
        "startswith('a')", "endswith('c')", "split()", "split(',')", "rsplit(',', 1)", "strip()", "lstrip('a')", "rstrip()", "upper()", "lower()",
        "title()", "replace('a', 'x')", "join(['p', 'q'])", "find('b')", "count('a')", "index('a')", "items()", "keys()", "values()", "get('k')",
        "get('a', 1)", "isdigit()", "splitlines()", "zfill(3)", "partition(',')", "format(1)", "append(1)", "name", "k", "age", "real_missing",
        "capitalize()", "removeprefix('a')", "pop()", "copy()", "b", "x.y",
    ]
    OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]

    def __init__(self, seed):
        self.random = random.Random(seed)

    def expression(self, depth=0):
        pick = self.random.random()
        if depth > 3 or pick < 0.2:
            return self.random.choice(self.LEAVES)
        inner = self.expression(depth + 1)
        if pick < 0.42:
            return f"({inner})|{self.random.choice(self.FILTERS)}"
        if pick < 0.5:
            return f"({inner}) is {self.random.choice(['', 'not '])}{self.random.choice(self.TESTS)}"
        if pick < 0.64:
            return f"({inner}).{self.random.choice(self.METHODS)}"
        if pick < 0.72:
            return f"({inner})[{self.random.choice(['0', '-1', '1:', ':1', '::-1', '1:3', 'number', repr('a'), repr('name'), '::2', 'real'])}]"
        if pick < 0.76:
            return f"(not {inner})"
        if pick < 0.8:
            return f"({inner} if {self.expression(depth + 1)} else {self.expression(depth + 1)})"
        if pick < 0.84:
            return f"[{inner}, {self.expression(depth + 1)}]"
        return f"({inner}) {self.random.choice(self.OPERATORS)} ({self.expression(depth + 1)})"
